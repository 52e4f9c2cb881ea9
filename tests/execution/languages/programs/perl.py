# ruff: noqa: E501 - tables of programs
TESTS = """
use Test::Deep;


sub testhumaneval {
    my $candidate = \\&f;
        if(eq_deeply($candidate->(1),2)) {
        print "ok!" }else{
        exit 1;
        }
}

testhumaneval();
"""
WRONG = "sub f { return $_[0]; }"

ENDINGS = {
    "right": ("sub f {\n    my($x) = @_;\n    return $x + 1;\n}" + TESTS, "passed"),
    "wrong": (WRONG + TESTS, "failed"),
    "empty": ("", "passed"),
    "dies": ("die 'why';", "failed"),
    "exit code": ("exit 3;", "failed"),
    "prints ERROR": ("print 'ERROR';", "failed"),
    "does not parse": ("sub f {" + TESTS, "failed"),
    "unclosed": ('print "' + TESTS, "failed"),
    "strict": ("use strict; use warnings;\nmy $x = 1;", "passed"),
    "a package of its own": (
        "package A;\nsub open { 0 } sub syswrite { 0 }\nsub new { bless {} } new();",
        "passed",
    ),
    "replaces its own subs": (
        "sub g { 1 }\n{ no warnings; *g = sub { 2 }; }\ndie unless g() == 2;\nsub f { g() }" + TESTS,
        "passed",
    ),
    "is the program": (
        "die unless $0 eq 'program.pl' && __FILE__ eq 'program.pl' && !grep { $_ eq '.' } @INC;",
        "passed",
    ),
    "data": ('die unless <DATA> eq "a\\n";\n__DATA__\na\n', "passed", "failed"),
    "END block": ("END { print 'end' }", "passed"),
    "last line is a comment": ("my $x = 1; # one", "passed"),
    "loop": ("while (1) {}", "timeout"),
}

FAKED_ENDINGS = {
    name: program + "\n" + TESTS
    for name, program in {
        "exit": "sub f { exit 0; }",
        "exit at the top": "exit;",
        "_exit": "use POSIX ();\nsub f { POSIX::_exit(0); }",
        "END block": "END { $? = 0 }\nsub f { exit 1; }",
        "die handler": "$SIG{__DIE__} = sub { exit 0 };\nsub f { die; }",
        "signal handler": "$SIG{TERM} = sub { exit 0 }; kill 'TERM', $$; sleep 9;",
        "end of the text": "__END__",
        "never ending pod": "=pod\n",
        "BEGIN": "BEGIN { exit 0 }",
        "another program": "exec 'true';",
        "exit is replaced": "BEGIN { *CORE::GLOBAL::exit = sub {} }\n" + WRONG,
        "exit is a sub": "use subs 'exit';\nsub exit {}\n" + WRONG,
        "the tests are replaced": "*testhumaneval = sub {};\n" + WRONG,
        "the tests are defined again": "eval 'sub testhumaneval {}';\n" + WRONG,
        "the comparison is replaced": "*eq_deeply = sub { 1 };\n" + WRONG,
        "every descriptor": "for my $n (3..63) { open my $f, '>&=', $n and syswrite $f, 'a' x 32; }\nexit 0;",
        "looks at files": """
for my $file (glob '*') { open my $f, '<', $file; local $/; my $text = <$f>;
  open my $c, '>&', 63; syswrite $c, $1 while $text =~ /([0-9a-f]{32})/g; }
exit 0;""",
        "looks at messages": """
use POSIX ();
BEGIN { $SIG{__DIE__} = $SIG{__WARN__} = sub { if ($_[0] =~ /([0-9a-f]{32})/) { open my $c, '>&', 63; syswrite $c, $1; } POSIX::_exit(0); } }
sub f { (((""",
        "looks at the launcher's variables": """
for my $name (keys %RewardRanker::) { my $all = join ' ', @{"RewardRanker::$name"}, ${"RewardRanker::$name"} // '';
  open my $c, '>&', 63; syswrite $c, $1 while $all =~ /([0-9a-f]{32})/g; }
exit 0;""",
    }.items()
}

MESSAGES = {
    "print 'out';\nsub f {\n    die 'why';\n}\nf();\n": ("out", "why at program.pl line 3."),
    "my $x = 1;\nmy $y = = 2;\n": ("syntax error at program.pl line 2",),
}
REASONS = {"print 1;\ndie 'why';": "why at program.pl line 2."}
