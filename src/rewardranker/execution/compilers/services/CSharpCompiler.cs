// mcs, one program after the other in one runtime. Started as
//
//     mono service.exe ARGUMENTS-OF-MCS
//
// with a socket as descriptor 0; the protocol stands in compiler.py.
//
// Each compilation is what mcs does with its command line, on files in /tmp; then mcs' own statics are reset.
// What stays is machine code. Whatever is not an ordinary end ends this process: it may have left statics that
// no reset knows.

using System;
using System.Collections.Generic;
using System.Diagnostics;
using System.IO;
using System.Net;
using System.Reflection;
using System.Runtime.InteropServices;
using System.Text;
using Mono.CSharp;

static class CSharpCompiler {
    const int Connection = 0;
    const string Mcs = "/usr/lib/mono/4.5/mcs.exe", Built = "program.exe";

    [DllImport("libc", SetLastError = true)]
    static extern IntPtr read(int descriptor, byte[] bytes, IntPtr count);
    [DllImport("libc", SetLastError = true)]
    static extern IntPtr write(int descriptor, IntPtr bytes, IntPtr count);
    [DllImport("libc")]
    static extern void _exit(int status);

    static int Main(string[] arguments) {
        AppDomain.CurrentDomain.AssemblyResolve += (_, wanted) => Assembly.LoadFrom(Mcs);
        return Serve(arguments);
    }

    static int Serve(string[] arguments) { // after Main, which must not name types of mcs
        Send(new byte[4]); // ready
        for (;;) {
            byte[] frame = Received();
            if (frame == null) return 0;
            var input = new BinaryReader(new MemoryStream(frame));
            for (int n = Int(input); n > 0; n--) {
                int nameLength = Int(input), contentLength = Int(input);
                string name = Encoding.UTF8.GetString(input.ReadBytes(nameLength));
                File.WriteAllBytes(name, input.ReadBytes(contentLength));
            }
            var watch = Stopwatch.StartNew();
            var diagnostics = new StringWriter();
            string summary = "";
            bool succeeded = false;
            try {
                succeeded = Compile(arguments, diagnostics, out summary);
            } catch (Exception) {
                _exit(3);
            }
            if (diagnostics.ToString().Contains("Internal compiler error")) _exit(3); // such as a stack overflow
            Reply(succeeded, watch.Elapsed.TotalSeconds, summary, diagnostics.ToString());
            foreach (string file in Directory.GetFiles(".")) File.Delete(file);
        }
    }

    // As the Main of mcs, which would end the process; `summary` is what that prints to stdout.
    static bool Compile(string[] arguments, TextWriter diagnostics, out string summary) {
        var printer = new StreamReportPrinter(diagnostics);
        var settings = new CommandLineParser(diagnostics).ParseArguments(arguments);
        Type type = typeof(CompilerContext).Assembly.GetType("Mono.CSharp.Driver");
        object driver = Activator.CreateInstance(type, new CompilerContext(settings, printer));
        bool succeeded = (bool)type.GetMethod("Compile").Invoke(driver, null) && printer.ErrorsCount == 0;
        CompilerCallableEntryPoint.Reset();
        int warnings = printer.WarningsCount;
        if (!succeeded) summary = $"Compilation failed: {printer.ErrorsCount} error(s), {warnings} warnings\n";
        else summary = warnings > 0 ? $"Compilation succeeded - {warnings} warning(s)\n" : "";
        return succeeded;
    }

    static void Reply(bool succeeded, double seconds, string stdout, string stderr) {
        byte[] output = Encoding.UTF8.GetBytes(stdout), error = Encoding.UTF8.GetBytes(stderr);
        var reply = new List<byte>();
        reply.Add(0); // never declined
        reply.AddRange(Bytes(succeeded ? 0 : 1));
        reply.AddRange(BitConverter.GetBytes(
            IPAddress.HostToNetworkOrder(BitConverter.DoubleToInt64Bits(seconds))));
        reply.AddRange(Bytes(output.Length));
        reply.AddRange(Bytes(error.Length));
        reply.AddRange(Bytes(succeeded ? 1 : 0));
        reply.AddRange(output);
        reply.AddRange(error);
        if (succeeded) {
            byte[] name = Encoding.UTF8.GetBytes(Built), content = File.ReadAllBytes(Built);
            reply.AddRange(Bytes(name.Length));
            reply.AddRange(Bytes(content.Length));
            reply.AddRange(name);
            reply.AddRange(content);
        }
        reply.InsertRange(0, Bytes(reply.Count));
        Send(reply.ToArray());
    }

    static byte[] Bytes(int number) {
        return BitConverter.GetBytes(IPAddress.HostToNetworkOrder(number));
    }

    static int Int(BinaryReader input) {
        return IPAddress.NetworkToHostOrder(input.ReadInt32());
    }

    static byte[] Received() { // null: the client has gone
        byte[] length = Received(4);
        return length == null ? null : Received(Int(new BinaryReader(new MemoryStream(length))));
    }

    static byte[] Received(int count) {
        var all = new MemoryStream(count);
        var part = new byte[Math.Min(count, 1 << 16)];
        while (all.Length < count) {
            long n = (long)read(Connection, part, (IntPtr)Math.Min(part.Length, count - all.Length));
            if (n <= 0) return null;
            all.Write(part, 0, (int)n);
        }
        return all.ToArray();
    }

    static void Send(byte[] bytes) {
        var pinned = GCHandle.Alloc(bytes, GCHandleType.Pinned);
        for (long sent = 0; sent < bytes.Length;) {
            long n = (long)write(
                Connection, (IntPtr)(pinned.AddrOfPinnedObject().ToInt64() + sent), (IntPtr)(bytes.Length - sent));
            if (n <= 0) _exit(0);
            sent += n;
        }
        pinned.Free();
    }
}
