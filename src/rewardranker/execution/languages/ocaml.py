"""OCaml: the toplevel runs the program as a script does, phrase by phrase, for a launcher that holds the key.

At the end `=`, by which the tests compare, must still be the standard library's.
"""

from rewardranker.execution.languages.language import Language, apt

# `use_silently` takes a name before 4.14, and since then `File name`, which in memory is as `ref name`.
_LAUNCHER = """#directory "+compiler-libs";;
let () =
  let module Channel = struct
    external reader : int -> in_channel = "caml_ml_open_descriptor_in"
    external writer : int -> out_channel = "caml_ml_open_descriptor_out"
  end in
  let key = really_input_string (Channel.reader 63) 32 in
  let name = "program.ml" and output = Format.std_formatter and found = Buffer.create 99 in
  let program = if Sys.ocaml_version < "4.14" then Obj.repr name else Obj.repr (ref name) in
  if not (Toploop.use_silently Format.err_formatter (Obj.obj program)) then exit 2;
  Format.pp_print_flush output ();
  Format.pp_set_formatter_output_functions output (Buffer.add_substring found) ignore;
  begin match Toploop.get_directive "show_val" with
  | Some (Toploop.Directive_ident show) -> show (Longident.Lident "=")
  | _ -> () end;
  Format.pp_print_flush output ();
  Format.pp_set_formatter_output_functions output (output_substring stdout) (fun () -> flush stdout);
  if String.trim (Buffer.contents found) = "external ( = ) : 'a -> 'a -> bool = \\"%equal\\"" then begin
    let channel = Channel.writer 63 in
    output_string channel key;
    flush channel
  end
"""

OCAML = Language(
    name="ocaml",
    tools=(apt("ocaml", "ocaml-nox"),),
    version_command=("ocaml", "-version"),
    files=lambda source, _: {"program.ml": source, "launcher.ml": _LAUNCHER},
    run=("ocaml", "launcher.ml"),
    syntax_error_mark="Syntax error",
    error_line=r"Error: .*|Exception: .*",
)
