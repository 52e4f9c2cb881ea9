"""C#: mcs and mono, with a launcher and a `Debug` of ours compiled into the program.

A failed `Debug.Assert` ends nothing, and a program can silence its listeners. A type in the global namespace
goes before those of `using` directives, so the tests' `Debug` is ours: it does what the system's does, and
also spoils the proof of the end.
"""

from pathlib import Path

from rewardranker.execution.languages.language import Language, Prebuilt, apt

_SERVICE = Path(__file__).parents[1] / "compilers" / "services" / "CSharpCompiler.cs"
_MCS = "/usr/lib/mono/4.5/mcs.exe"
_LAUNCHER = """
using SystemDebug = System.Diagnostics.Debug;
using SystemTrace = System.Diagnostics;
static class Debug {
    [System.Runtime.InteropServices.DllImport("libc")]
    static extern System.IntPtr write(int descriptor, byte[] bytes, System.IntPtr count);
    static void Failed(string message, string detail) {
        write(63, new byte[1], (System.IntPtr)1);
        SystemDebug.Fail(message, detail);
    }
    public static void Assert(bool condition) { if (!condition) Failed("", ""); }
    public static void Assert(bool condition, string message) { if (!condition) Failed(message, ""); }
    public static void Assert(bool condition, string message, string detail) {
        if (!condition) Failed(message, detail);
    }
    public static void Assert(bool condition, string message, string format, params object[] args) {
        if (!condition) Failed(message, string.Format(format, args));
    }
    public static void Fail(string message) { Failed(message, ""); }
    public static void Fail(string message, string detail) { Failed(message, detail); }
    public static SystemTrace.TraceListenerCollection Listeners { get { return SystemDebug.Listeners; } }
    public static bool AutoFlush {
        get { return SystemDebug.AutoFlush; }
        set { SystemDebug.AutoFlush = value; }
    }
    public static int IndentLevel {
        get { return SystemDebug.IndentLevel; }
        set { SystemDebug.IndentLevel = value; }
    }
    public static void Close() { SystemDebug.Close(); }
    public static void Flush() { SystemDebug.Flush(); }
    public static void Indent() { SystemDebug.Indent(); }
    public static void Unindent() { SystemDebug.Unindent(); }
    public static void Print(string message) { SystemDebug.Print(message); }
    public static void Print(string format, params object[] args) { SystemDebug.Print(format, args); }
    public static void Write(object value) { SystemDebug.Write(value); }
    public static void Write(object value, string category) { SystemDebug.Write(value, category); }
    public static void WriteLine(object value) { SystemDebug.WriteLine(value); }
    public static void WriteLine(string text, string category) { SystemDebug.WriteLine(text, category); }
    public static void WriteLine(string format, params object[] args) { SystemDebug.WriteLine(format, args); }
    public static void WriteIf(bool condition, object value) { SystemDebug.WriteIf(condition, value); }
    public static void WriteLineIf(bool wanted, object value) { SystemDebug.WriteLineIf(wanted, value); }
}
static class RewardRankerLauncher {
    [System.Runtime.InteropServices.DllImport("libc")]
    static extern System.IntPtr read(int descriptor, byte[] bytes, System.IntPtr count);
    [System.Runtime.InteropServices.DllImport("libc")]
    static extern System.IntPtr write(int descriptor, byte[] bytes, System.IntPtr count);
    static int Main(string[] args) {
        var key = new byte[32];
        read(63, key, (System.IntPtr)32);
        var mains = new System.Collections.Generic.List<System.Reflection.MethodInfo>();
        bool hidden = false;
        var all = System.Reflection.BindingFlags.Static | System.Reflection.BindingFlags.Instance
            | System.Reflection.BindingFlags.Public | System.Reflection.BindingFlags.NonPublic
            | System.Reflection.BindingFlags.DeclaredOnly;
        foreach (var type in typeof(RewardRankerLauncher).Assembly.GetTypes()) {
            if (type == typeof(RewardRankerLauncher) || type == typeof(Debug)) continue;
            hidden |= type.Name == "Debug";
            foreach (var member in type.GetMembers(all)) {
                hidden |= member.Name == "Debug";
                var method = member as System.Reflection.MethodInfo;
                if (method != null && method.IsStatic && method.Name == "Main") mains.Add(method);
            }
        }
        if (mains.Count == 0) {
            System.Console.Error.WriteLine("no class has a Main");
            return 1;
        }
        int status = Run(mains[0], args);
        if (status == 0 && mains.Count == 1 && !hidden) write(63, key, (System.IntPtr)32);
        return status;
    }
    static T Bind<T>(System.Reflection.MethodInfo main) where T : class { // Invoke would wrap exceptions
        return (T)(object)main.CreateDelegate(typeof(T));
    }
    static int Run(System.Reflection.MethodInfo main, string[] args) {
        bool plain = main.GetParameters().Length == 0;
        if (main.ReturnType == typeof(int)) {
            return plain ? Bind<System.Func<int>>(main)() : Bind<System.Func<string[], int>>(main)(args);
        }
        if (main.ReturnType == typeof(void)) {
            if (plain) Bind<System.Action>(main)();
            else Bind<System.Action<string[]>>(main)(args);
            return 0;
        }
        var task = (System.Threading.Tasks.Task)main.Invoke(null, plain ? null : new object[] { args });
        task.GetAwaiter().GetResult();
        var number = task as System.Threading.Tasks.Task<int>;
        return number == null ? 0 : number.Result;
    }
}
"""

_ARGUMENTS = (
    *("-d:DEBUG", "-r:System.Numerics.dll", "-nowarn:436", "-main:RewardRankerLauncher"),
    *("-out:program.exe", "program.cs", "launcher.cs"),
)

CSHARP = Language(
    name="csharp",
    tools=(
        apt("mcs", "mono-mcs"),
        apt("mono", "mono-runtime"),
        apt("/usr/lib/mono/4.5/System.Numerics.dll", "libmono-system-numerics4.0-cil"),
        apt("/usr/lib/mono/4.5/System.Core.dll", "libmono-system-core4.0-cil"),
    ),
    version_command=("mono", "--version"),
    files=lambda source, _: {"program.cs": source, "launcher.cs": _LAUNCHER},
    build=("mcs", *_ARGUMENTS),
    warm=("mono", "{prebuilt}/service.exe", *_ARGUMENTS),
    prebuilt=Prebuilt(
        sources={"CSharpCompiler.cs": _SERVICE.read_text()},
        commands=(("mcs", f"-r:{_MCS}", "-out:service.exe", "CSharpCompiler.cs"),),
    ),
    run=("mono", "program.exe"),
    environment={"MONO_TRACE_LISTENER": "Console.Error"},
    reserves_memory=True,
    error_line=r".*error CS.*|\[ERROR\].*|Fail:.*|.*Exception: .*",
    failure_marks=("DefaultTraceListener.Fail", "Unhandled Exception"),
)
