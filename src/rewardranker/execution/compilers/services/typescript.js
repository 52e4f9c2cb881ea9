// The TypeScript compiler, one program after the other in one process. Made once, as a snapshot of the memory
// in which the compiler is loaded and its own declaration files are parsed and bound:
//
//     node --snapshot-blob BLOB --build-snapshot typescript.js FOLDER-OF-THE-COMPILER ARGUMENTS-OF-TSC
//
// and started from it with `node --snapshot-blob BLOB` and a socket as descriptor 0; the protocol stands in
// compiler.py. What stays between programs is those declaration files (lib.*.d.ts), as in an editor's language
// service. Everything else is made anew as tsc makes it, from files in /tmp.
//
// tsc checks the declaration files too, with every program. Here they are checked only where a program could
// change them: where it declares a name that one of them declares, or adds to the global scope or to a module. So
// they are where a message names a union: its members come in the order in which they were met. A program that
// takes in other files is declined. An exception, such as a stack overflow, ends the process.
'use strict';
const fs = require('fs');
const v8 = require('v8');

const [folder, ...tscArguments] = process.argv.slice(2);
const HERE = '/node_modules/typescript/lib'; // where the sandbox has the compiler
const ts = loadCompiler();
const { options, fileNames } = ts.parseCommandLine(tscArguments);
const [program] = fileNames;
const output = program.replace(/ts$/, 'js');
const library = new Map(); // path to ts.SourceFile
let globalNames = new Set();

function loadCompiler() {
  const module = { exports: {} };
  const limitedRequire = (name) => {
    if (name === 'perf_hooks') throw new Error('not in a snapshot'); // the compiler does without
    return require(name);
  };
  const source = fs.readFileSync(`${folder}/typescript.js`, 'utf8');
  const load = new Function('module', 'exports', 'require', '__filename', '__dirname', source);
  load(module, module.exports, limitedRequire, `${HERE}/typescript.js`, HERE);
  return module.exports;
}

function compile(addToLibrary) {
  const narrow = compileOnce(addToLibrary, true);
  return narrow.isNarrow && / [|&] /.test(narrow.diagnostics) ? compileOnce(addToLibrary, false) : narrow;
}

function compileOnce(addToLibrary, mayBeNarrow) {
  const host = ts.createCompilerHost(options);
  const readSourceFile = host.getSourceFile;
  host.jsDocParsingMode = ts.JSDocParsingMode.ParseForTypeErrors; // as tsc
  host.getCurrentDirectory = () => '/tmp';
  host.resolveLibrary = () => ({ resolvedModule: undefined }); // no package replaces a declaration file
  host.getSourceFile = (path, ...rest) =>
    library.get(path) || addToLibrary(path, ...rest) || readSourceFile(path, ...rest);
  const written = new Map();
  host.writeFile = (path, text) => written.set(path, text);
  const all = ts.createProgram({ rootNames: fileNames, options, host });
  all.getTypeChecker(); // binds the files
  const sourceFile = all.getSourceFile(program);
  const isForeign = (file) => file !== sourceFile && library.get(file.fileName) !== file;
  const isNarrow = mayBeNarrow && !changesLibrary(sourceFile);
  const checked = isNarrow ? sourceFile : undefined;
  const narrowed = {
    ...all,
    getSyntacticDiagnostics: () => all.getSyntacticDiagnostics(checked),
    getSemanticDiagnostics: () => all.getSemanticDiagnostics(checked),
    emit: () => all.emit(checked),
  };
  let diagnostics = '';
  const report = (diagnostic) => {
    diagnostics += ts.formatDiagnostic(diagnostic, host);
  };
  const status = ts.emitFilesAndReportErrorsAndGetExitStatus(narrowed, report);
  const declined = all.getSourceFiles().some(isForeign) || [...written.keys()].some((path) => path !== output);
  return { declined, status, diagnostics, written, isNarrow };
}

function changesLibrary(sourceFile) {
  if (sourceFile.moduleAugmentations?.length || sourceFile.ambientModuleNames?.length) return true;
  if (ts.isExternalModule(sourceFile)) return false;
  for (const name of sourceFile.locals.keys()) if (globalNames.has(name)) return true;
  return false;
}

function prepare() {
  fs.mkdirSync('snapshot');
  process.chdir('snapshot');
  fs.writeFileSync(program, 'class A<T> { f(x: T) { return [x]; } }\nconsole.log(new A<number>().f(1).map((x) => `${x}`));\n');
  compile((path, version) => {
    if (!path.startsWith(`${HERE}/`)) return undefined;
    const text = fs.readFileSync(folder + path.slice(HERE.length), 'utf8');
    library.set(path, ts.createSourceFile(path, text, version));
    return library.get(path);
  });
  for (const file of library.values()) for (const name of file.locals?.keys() ?? []) globalNames.add(name);
  process.chdir('..');
  fs.rmSync('snapshot', { recursive: true });
}

function serve() {
  fs.writeSync(0, Buffer.alloc(4)); // ready
  for (;;) {
    const header = read(4);
    if (!header) process.exit(0);
    const names = writeFiles(read(header.readUInt32BE()));
    const start = process.hrtime.bigint();
    const result = compile(() => undefined);
    reply(result, Number(process.hrtime.bigint() - start) / 1e9);
    for (const name of names) fs.rmSync(name);
  }
}

function read(length) {
  const data = Buffer.alloc(length);
  for (let at = 0; at < length; ) {
    const n = fs.readSync(0, data, at, length - at);
    if (n === 0) return null;
    at += n;
  }
  return data;
}

function writeFiles(frame) {
  const names = [];
  for (let n = frame.readUInt32BE(), at = 4; n > 0; n--) {
    const content = at + 8 + frame.readUInt32BE(at), end = content + frame.readUInt32BE(at + 4);
    names.push(frame.toString('utf8', at + 8, content));
    fs.writeFileSync(names.at(-1), frame.subarray(content, end));
    at = end;
  }
  return names;
}

function reply({ declined, status, diagnostics, written }, seconds) {
  const text = Buffer.from(diagnostics);
  const header = Buffer.alloc(25);
  header.writeUInt8(declined ? 1 : 0);
  header.writeInt32BE(status, 1);
  header.writeDoubleBE(seconds, 5);
  header.writeUInt32BE(text.length, 13);
  header.writeUInt32BE(0, 17);
  header.writeUInt32BE(written.size, 21);
  const parts = [header, text];
  for (const [path, content] of written) {
    const name = Buffer.from(path), bytes = Buffer.from(content), lengths = Buffer.alloc(8);
    lengths.writeUInt32BE(name.length);
    lengths.writeUInt32BE(bytes.length, 4);
    parts.push(lengths, name, bytes);
  }
  const frame = Buffer.concat(parts), length = Buffer.alloc(4);
  length.writeUInt32BE(frame.length);
  const whole = Buffer.concat([length, frame]);
  for (let at = 0; at < whole.length; ) at += fs.writeSync(0, whole, at);
}

prepare();
v8.startupSnapshot.setDeserializeMainFunction(serve);
