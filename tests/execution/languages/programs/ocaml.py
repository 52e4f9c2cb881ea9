# ruff: noqa: E501 - tables of programs
TESTS = """

let assertions =
 let candidate = f in
  (assert ((candidate 1) = 2));
  ()
"""
WRONG = "let f (x : int) : int = x"

ENDINGS = {
    "right": ("let f (x : int) : int =\n  x + 1" + TESTS, "passed"),
    "wrong": (WRONG + TESTS, "failed"),
    "empty": ("", "passed"),
    "raises": ('let () = failwith "why"', "failed"),
    "exit code": ("let () = exit 3", "failed"),
    "does not parse": ("let f = = 1", "syntax_error"),
    "wrong type": ('let f (x : int) : int = "a"', "failed"),
    "names of the launcher": (
        "let key = 1 let write = 2 let flush = 3 let fail = 4 let exit = 5\nlet f x = x + key" + TESTS,
        "passed",
    ),
    "operators of its own": ("let ( + ) a b = a - b\nlet () = assert (3 + 1 = 2)", "passed"),
    "modules": ("module M = Map.Make (String)\nlet () = assert (M.is_empty M.empty)", "passed"),
    "directive": ('#warnings "-8";;\nlet () = ()', "passed"),
    "no assertions": (
        '#directory "+compiler-libs";;\nlet () = Clflags.noassert := true;;\n' + WRONG + TESTS,
        "failed",
    ),
    "deep recursion": ("let rec f x = 1 + f (x + 1)" + TESTS, "failed"),
    "loop": ("let () = while true do () done", "timeout"),
}

FAKED_ENDINGS = {
    name: program + TESTS
    for name, program in {
        "exit": "let f (x : int) : int = exit 0",
        "exit at the top": "let () = exit 0",
        "at_exit": "let () = at_exit (fun () -> exit 0)\n" + WRONG,
        "another program": 'external system : string -> int = "caml_sys_system_command"\nexternal sys_exit : int -> \'a = "caml_sys_exit"\nlet f (x : int) : int = sys_exit (system "true")',
        "every descriptor": 'external writer : int -> out_channel = "caml_ml_open_descriptor_out"\n'
        "let () = for n = 3 to 63 do try let c = writer n in output_string c (String.make 32 'a'); flush c with _ -> () done; exit 0",
        "equal of its own": "let ( = ) _ _ = true\n" + WRONG,
        "equal of a module": "module M = struct let ( = ) _ _ = true end\nopen M\n" + WRONG,
        "equal of another Stdlib": "module Stdlib = struct let ( = ) _ _ = true end\nopen Stdlib\n" + WRONG,
    }.items()
}

MESSAGES = {
    'let () = print_endline "out"\nlet f () =\n  failwith "why"\nlet () = f ()\n': (
        "out\n",
        'Exception: Failure "why"',
    ),
    "let x = 1\nlet y = = 2\n": ('program.ml", line 2',),
}
REASONS = {
    'let () = failwith "why"': 'Exception: Failure "why".',
    "let () = x": "Error: Unbound value x",
}
