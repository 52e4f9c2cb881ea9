import pytest

LANGUAGE = "ruby"
TESTS = """
require 'test/unit/assertions'
include Test::Unit::Assertions
def test_f
  candidate = method(:f)
  assert_equal(2, candidate.call(1))
end
test_f
"""

ENDINGS = {
    "right": ("def f(x)\n  x + 1\nend" + TESTS, "passed", "passed"),
    "wrong": ("def f(x)\n  x\nend" + TESTS, "failed", "failed"),
    "empty": ("", "passed", "passed"),
    "raises": ("raise 'why'", "failed", "failed"),
    "exit code": ("exit 3", "failed", "failed"),
    "does not parse": ("def f(\n", "syntax_error", "syntax_error"),
    "magic comment": ("# frozen_string_literal: true\nx = 'a'.dup << 'b'", "passed", "passed"),
    "instance variables": (
        "@a = 1\ndef g = @a\nraise unless g == 1 && self.to_s == 'main'",
        "passed",
        "passed",
    ),
    "is the program": ("raise unless __FILE__ == $0 || __FILE__ == 'program.rb'", "passed", "passed"),
    "last line is a comment": ("x = 1 # one", "passed", "passed"),
    "loop": ("loop {}", "timeout", "timeout"),
}

FAKED_ENDINGS = {
    "exit": "def f(x)\n  exit 0\nend",
    "exit!": "def f(x)\n  exit! 0\nend",
    "exit at the top": "exit",
    "at_exit": "at_exit { exit! 0 }\ndef f(x) = x",
    "return at the top": "return",
    "end of the text": "__END__",
    "thread": "Thread.new { exit! 0 }; sleep",
    "signal handler": "trap('TERM') { exit! 0 }; Process.kill('TERM', $$); sleep",
    "another program": "exec 'true'",
    "looks at its file": """
Dir['/tmp/*'].each { |f| File.read(f).scan(/[0-9a-f]{32}/) { |k| IO.for_fd(63, 'w').syswrite(k) } }
exit! 0""",
    "looks at its variables": """
text = [ENV.to_h, global_variables.map { |v| eval(v.to_s).to_s }, TOPLEVEL_BINDING.local_variables.map { |v|
  TOPLEVEL_BINDING.local_variable_get(v).to_s }].to_s
text.scan(/[0-9a-f]{32}/) { |k| IO.for_fd(63, 'w').syswrite(k) }
exit! 0""",
}


@pytest.mark.parametrize("ending", ENDINGS)
def test_status(run, ending):
    source, status, strict_status = ENDINGS[ending]
    verdict = run(source)
    assert (verdict.status, verdict.strict_status) == (status, strict_status), verdict


@pytest.mark.parametrize("fake", FAKED_ENDINGS)
def test_an_early_end_is_no_pass(run, fake):
    verdict = run(FAKED_ENDINGS[fake] + "\n" + TESTS)
    assert (verdict.status, verdict.strict_status, verdict.exit_code) == ("passed", "failed", 0), verdict


def test_messages_name_the_programs_lines(run):
    verdict = run("puts 'out'\ndef f\n  raise 'why'\nend\nf\n")
    assert "program.rb:3:in `f': why (RuntimeError)" in verdict.stderr
    assert verdict.stdout == "out\n"
    assert "program.rb:2" in run("x = 1\ny = = 2\n").stderr


def test_the_reason_is_one_line(run):
    assert run("raise 'why'").reason == "program.rb:1:in `<compiled>': why (RuntimeError)"
