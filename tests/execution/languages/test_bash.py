import pytest

pytestmark = pytest.mark.parametrize("run", ["bash"], indirect=True)


def test_nothing_is_left_for_the_next(run):
    assert run("touch left; mkdir -p a/b; (sleep 60 & ); sleep 60 & disown").strict_status == "passed"
    verdict = run(
        'set -- /tmp/* /proc/[0-9]*; echo "$@"; [[ $# = 4 ]]'
    )  # its two files, process 1 and itself
    assert verdict.strict_status == "passed", verdict.stdout


@pytest.mark.parametrize(
    "attack", [":() { : | : & }; :; wait", "while :; do echo xxxxxxxx; done", "kill -9 -1"]
)
def test_attacks_end_and_the_slot_lives(run, attack):
    assert run(attack).strict_status != "error"
    assert run("true").strict_status == "passed"
