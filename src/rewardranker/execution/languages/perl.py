"""Perl, with Test::Deep for the programs that load it.

A module that perl loads first filters the program's text: it adds the end in memory; no file has the key.
Subs are defined before the first statement runs; at the end, those of the tests must still be what they were
then, and `exit`, by which a failed test ends, must be perl's.
"""

from rewardranker.execution.languages.language import Language, apt

_LAUNCHER = r"""package RewardRanker;
use Filter::Util::Call;
@INC = grep { $_ ne '.' } @INC;
open my $channel, '<&', 63;
sysread $channel, my $key, 32;
close $channel;
my @end = (
    ";CHECK { RewardRanker::notice() }\n",
    "if (RewardRanker::is_unchanged() and CORE::open my \$reward_ranker, '>&', 63) {\n",
    "    CORE::syswrite \$reward_ranker,\n",
    "        '$key';\n", # a line of its own: messages about what is wrong before it do not show it
    "}\n",
);
undef $key;
my $noticed;
sub subs { # of the tests: where they are, and where their code begins
    no strict 'refs';
    require B;
    join ' ', map { \&$_, ${B::svref_2object(\&$_)->START} } sort grep { defined &$_ }
        map { "main::$_" } 'exit', 'eq_deeply', grep { /^test/ } keys %main::;
}
sub notice { $noticed = subs() }
sub is_unchanged { !defined &CORE::GLOBAL::exit && !defined &main::exit && $noticed eq subs() }
sub import {
    filter_add(sub {
        my $status = filter_read();
        return $status if $status || !@end;
        $_ .= "\n" . shift @end;
        return 1;
    });
}
1;
"""

PERL = Language(
    name="perl",
    tools=(
        apt("perl", "perl"),
        apt("/usr/share/perl5/Test/Deep.pm", "libtest-deep-perl", needed_by=r"\bTest::Deep\b"),
    ),
    version_command=("perl", "--version"),
    files=lambda source, _: {"program.pl": source, "RewardRanker.pm": _LAUNCHER},
    run=("perl", "-I.", "-MRewardRanker", "program.pl"),
    failure_marks=("ERROR",),
    error_line=r".* at .* line \d+.*",
)
