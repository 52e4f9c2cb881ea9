"""Ruby: a launcher evaluates the program, to which it has added the end, at the top level."""

from rewardranker.execution.languages.language import Language, apt

_LAUNCHER = """RubyVM::InstructionSequence.compile(
  File.read('program.rb') + "\\nIO.for_fd(63, 'w', autoclose: false).syswrite('" +
    IO.for_fd(63, 'r', autoclose: false).readpartial(32) + "')", 'program.rb', File.expand_path('program.rb')
).eval
"""

RUBY = Language(
    name="ruby",
    tools=(apt("ruby", "ruby"),),
    version_command=("ruby", "--version"),
    files=lambda source, _: {"program.rb": source, "launcher.rb": _LAUNCHER},
    run=("ruby", "launcher.rb"),
    error_line=r".*",
    syntax_error_mark="syntax error",
)
