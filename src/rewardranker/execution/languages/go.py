"""Go: a test file, built and vetted as `go test` does, then run as `go test` runs it.

A second file, in a package of its own beside the program's (`x` beside `x_test`), holds `TestMain`. That
package is initialised first, so it has read the key before a line of the candidate runs, and no name that the
candidate declares can hide one of its own.
"""

import re

from rewardranker.execution.languages.language import Language, apt

_LAUNCHER = """package %s

import (
	"flag"
	"os"
	"reflect"
	"syscall"
	"testing"
)

var key = func() []byte {
	key := make([]byte, 32)
	syscall.Read(63, key)
	return key
}()
var arguments = append([]string{}, os.Args...)

func TestMain(m *testing.M) {
	os.Args = arguments // the candidate may have chosen other tests
	flags := flag.CommandLine
	status := m.Run()
	chosen := 0
	flags.Visit(func(*flag.Flag) { chosen++ })
	hasTests := reflect.ValueOf(m).Elem().FieldByName("tests").Len() > 0
	if status == 0 && hasTests && chosen == len(arguments) - 1 && flags == flag.CommandLine {
		syscall.Write(63, key)
	}
	os.Exit(status)
}
"""
_PACKAGE = re.compile(r"^(\s*package[ \t]+)(\w+)", re.M)
_TEST_MAIN = re.compile(r"\bfunc\s+TestMain\b")


def _files(source: str, _: str) -> dict[str, str]:
    found = _PACKAGE.search(source)
    name = found[2].removesuffix("_test") if found else "program"
    files = {"program_test.go": _PACKAGE.sub(rf"\g<1>{name}_test", source, count=1)}
    if not _TEST_MAIN.search(source):  # the candidate's own is no proof of anything
        files["launcher_test.go"] = _LAUNCHER % name
    return files


GO = Language(
    name="go",
    tools=(apt("go", "golang-go"),),
    version_command=("go", "version"),
    files=_files,
    build=(*("go", "test", "-exec", "true", "-ldflags=-s -w", "-o", "program", "."),),
    run=("./program", "-test.paniconexit0", "-test.timeout=10m0s"),
    environment={"GOMAXPROCS": "2", "GOFLAGS": "-p=2", "GO111MODULE": "off"},
    reserves_memory=True,
    error_line=r".*\.go:\d+:.*|panic: .*",
)
