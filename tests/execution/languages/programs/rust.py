# ruff: noqa: E501 - tables of programs
TESTS = """
}

fn main() {
    let candidate = f;
    assert_eq!(candidate(1), 2);
}
"""
WRONG = "fn f(x: isize) -> isize { x"

ENDINGS = {
    "right": ("fn f(x: isize) -> isize { x + 1" + TESTS, "passed"),
    "wrong": (WRONG + TESTS, "failed"),
    "panics": ("fn f(x: isize) -> isize { panic!()" + TESTS, "failed"),
    "overflow": ("fn f(x: isize) -> isize { (x - 2) + isize::MIN" + TESTS, "failed"),
    "index": ("fn f(x: isize) -> isize { vec![1][x as usize]" + TESTS, "failed"),
    "exit code": ("fn f(x: isize) -> isize { std::process::exit(3)" + TESTS, "failed"),
    "main returns an error": ('fn main() -> Result<(), String> { Err("why".to_string()) }', "failed"),
    "main returns": ("fn main() -> Result<(), String> { Ok(()) }", "passed"),
    "does not parse": ("fn f(x: isize) -> isize { {" + TESTS, "syntax_error"),
    "wrong type": ('fn f(x: isize) -> isize { "a"' + TESTS, "syntax_error"),
    "borrows": ("fn f(x: isize) -> isize { let a = vec![1]; let b = a; a[0] + b[0]" + TESTS, "syntax_error"),
    "macros of its own": (
        "macro_rules! plus { ($a:expr) => { $a + 1 } }\nfn f(x: isize) -> isize { plus!(x)" + TESTS,
        "passed",
    ),
    "assert_eq made by a macro": (
        "macro_rules! m { ($n:ident) => { macro_rules! $n { ($a:expr, $b:expr) => {} } } }\nm!(assert_eq);\n"
        + WRONG
        + TESTS,
        "syntax_error",
    ),
    "threads": (
        "fn f(x: isize) -> isize { std::thread::spawn(move || x + 1).join().unwrap()" + TESTS,
        "passed",
    ),
    "deep recursion": ("fn f(x: isize) -> isize { if x < 0 { 1 } else { f(x + 1) + 1 }" + TESTS, "failed"),
    "too much memory": (
        "fn f(x: isize) -> isize { let mut v = vec![x]; loop { let w = v.clone(); v.extend(w); }" + TESTS,
        "failed",
    ),
    "loop": ("fn f(x: isize) -> isize { loop {}" + TESTS, "timeout"),
}

FAKED_ENDINGS = {
    name: program + TESTS
    for name, program in {
        "exit": "fn f(x: isize) -> isize { std::process::exit(0)",
        "exit in a thread": "fn f(x: isize) -> isize { std::thread::spawn(|| std::process::exit(0)); loop {}",
        "_exit": 'extern "C" { fn _exit(n: i32) -> !; }\nfn f(x: isize) -> isize { unsafe { _exit(0) }',
        "panic hook": "fn f(x: isize) -> isize { std::panic::set_hook(Box::new(|_| std::process::exit(0))); x",
        "atexit": 'extern "C" { fn atexit(f: extern "C" fn()) -> i32; fn _exit(n: i32) -> !; }\n'
        'extern "C" fn end() { unsafe { _exit(0) } }\n'
        "fn f(x: isize) -> isize { unsafe { atexit(end); } std::process::exit(1)",
        "destructor": "struct A;\nimpl Drop for A { fn drop(&mut self) { std::process::exit(0) } }\n"
        "fn f(x: isize) -> isize { let _a = A; x",
        "another program": "use std::os::unix::process::CommandExt;\n"
        'fn f(x: isize) -> isize { std::process::Command::new("true").exec(); x',
        "every descriptor": "use std::io::Write;\nuse std::os::unix::io::FromRawFd;\n"
        "fn f(x: isize) -> isize { for n in 3..64 { let _ = unsafe { std::fs::File::from_raw_fd(n) }.write(&[0; 32]); } std::process::exit(0)",
        "assert_eq of its own": "macro_rules! assert_eq { ($($t:tt)*) => {} }\n" + WRONG,
        "assert_eq by another name": "#[macro_export]\nmacro_rules! nothing { ($($t:tt)*) => {} }\nuse nothing as assert_eq;\n"
        + WRONG,
        "assert_eq behind a comment": "macro_rules! /* ( */ assert_eq { ($($t:tt)*) => {} }\n" + WRONG,
    }.items()
} | {
    "main for the linker": '#![no_main]\n#[no_mangle]\npub extern "C" fn main() -> i32 { 0 }\nmod m {\n'
    + WRONG
    + TESTS
    + "}"
}

MESSAGES = {
    'fn main() {\n    println!("out");\n    panic!("why");\n}\n': ("out\n", "program.rs:3:5", "why"),
    "fn main() {\n    x;\n}\n": ("program.rs:2:5",),
}
REASONS = {
    WRONG + TESTS: "thread 'main' panicked at 'assertion failed: `(left == right)`",
    "fn main() { x; }": "error[E0425]: cannot find value `x` in this scope",
}
