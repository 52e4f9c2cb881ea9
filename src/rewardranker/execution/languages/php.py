"""PHP: a launcher includes the program, to which it has added the end, from memory.

A program that is included may begin with `declare` or `namespace`, which a prologue in its text would break,
and no file holds the key that ends it.
"""

from rewardranker.execution.languages.language import Language, apt

_LAUNCHER = """<?php
final class RewardRankerSource {
    public $context;
    private static $source;
    private $at = 0;
    static function prepare() {
        $channel = fopen('php://fd/63', 'r+');
        $key = fread($channel, 32);
        $source = file_get_contents('program.php');
        $open = str_ends_with(rtrim($source), '?>') ? '<?php ' : '';
        self::$source = "$source\\n$open;\\\\fwrite(\\\\fopen('php://fd/63', 'w'), '$key');";
        stream_wrapper_unregister('file');
        stream_wrapper_register('file', self::class);
    }
    function stream_open($path, $mode, $options, &$opened) { return true; }
    function stream_read($count) {
        $part = substr(self::$source, $this->at, $count);
        $this->at += strlen($part);
        return $part;
    }
    function stream_eof() { return $this->at >= strlen(self::$source); }
    function stream_stat() { return ['size' => strlen(self::$source)]; }
    function stream_set_option($option, $first, $second) { return false; }
    function stream_close() {
        self::$source = '';
        stream_wrapper_restore('file');
    }
}
RewardRankerSource::prepare();
include './program.php';
"""

PHP = Language(
    name="php",
    tools=(apt("php", "php-cli"),),
    version_command=("php", "--version"),
    files=lambda source, _: {"program.php": source, "launcher.php": _LAUNCHER},
    run=(
        *("php", "-d", "display_errors=0", "-d", "log_errors=1", "-d", "error_log="),
        *("-d", "memory_limit=-1", "launcher.php"),
    ),
    error_line=r"PHP .*",
    syntax_error_mark="PHP Parse error",
)
