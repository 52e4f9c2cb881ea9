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
    "right": ("def f(x)\n  x + 1\nend" + TESTS, "passed"),
    "wrong": ("def f(x)\n  x\nend" + TESTS, "failed"),
    "empty": ("", "passed"),
    "raises": ("raise 'why'", "failed"),
    "exit code": ("exit 3", "failed"),
    "does not parse": ("def f(\n", "syntax_error"),
    "magic comment": ("# frozen_string_literal: true\nx = 'a'.dup << 'b'", "passed"),
    "instance variables": ("@a = 1\ndef g = @a\nraise unless g == 1 && self.to_s == 'main'", "passed"),
    "is the program": ("raise unless __FILE__ == $0 || __FILE__ == 'program.rb'", "passed"),
    "last line is a comment": ("x = 1 # one", "passed"),
    "loop": ("loop {}", "timeout"),
}

_FAKES = {
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

FAKED_ENDINGS = {name: fake + "\n" + TESTS for name, fake in _FAKES.items()}

MESSAGES = {
    "puts 'out'\ndef f\n  raise 'why'\nend\nf\n": (
        "program.rb:3:in `f': why (RuntimeError)",
        "out\n",
    ),
    "x = 1\ny = = 2\n": ("program.rb:2",),
}
REASONS = {"raise 'why'": "program.rb:1:in `<compiled>': why (RuntimeError)"}
