// javac, one program after the other in one virtual machine. Started as
//
//     java -cp FOLDER JavaCompiler LAUNCHER ARGUMENTS-OF-JAVAC
//
// with a socket as descriptor 0; the protocol stands in compiler.py. LAUNCHER is a folder of classes that are
// given out with each program's, as if they had been compiled with it.
//
// Each compilation is a call of javac's own command line with a context and a file manager of its own, on files
// in /tmp: what stays is machine code and the index of the platform's classes. Whatever is not an ordinary end
// (0: compiled, 1: errors), such as a stack overflow or no memory left, ends this process: it may have left
// classes half initialized.

import static java.nio.charset.StandardCharsets.UTF_8;

import com.sun.tools.javac.Main;
import java.io.ByteArrayOutputStream;
import java.io.DataInputStream;
import java.io.DataOutputStream;
import java.io.EOFException;
import java.io.File;
import java.io.FileDescriptor;
import java.io.FileInputStream;
import java.io.FileOutputStream;
import java.io.IOException;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.HashMap;
import java.util.Map;
import java.util.stream.Stream;

final class JavaCompiler {
    // Compiled code needs less stack than what a fresh javac interprets: half of the usual megabyte, so that
    // what overflows there overflows here.
    private static final long STACK_BYTES = 512 << 10;
    private static final Path CLASSES = Path.of("classes");

    private final DataInputStream in = new DataInputStream(new FileInputStream(FileDescriptor.in));
    private final FileOutputStream out = new FileOutputStream(FileDescriptor.in);
    private final Map<String, byte[]> launcher;
    private final String[] arguments;

    private JavaCompiler(Path launcher, String[] arguments) throws IOException {
        this.launcher = filesIn(launcher);
        this.arguments = arguments;
    }

    public static void main(String[] arguments) throws Exception {
        String[] rest = Arrays.copyOfRange(arguments, 1, arguments.length);
        JavaCompiler service = new JavaCompiler(Path.of(arguments[0]), rest);
        service.out.write(new byte[4]); // ready
        while (service.serveOne()) {}
        System.exit(0);
    }

    private boolean serveOne() throws Exception {
        try {
            in.readInt(); // length of the whole, which this need not know
        } catch (EOFException e) {
            return false;
        }
        for (int n = in.readInt(); n > 0; n--) {
            byte[] name = new byte[in.readInt()], content = new byte[in.readInt()];
            in.readFully(name);
            in.readFully(content);
            Path path = Path.of(new String(name, UTF_8));
            if (path.getParent() != null) Files.createDirectories(path.getParent());
            Files.write(path, content);
        }
        long start = System.nanoTime();
        StringWriter text = new StringWriter();
        int[] status = {-1};
        Runnable work = () -> status[0] = Main.compile(arguments, new PrintWriter(text, true));
        Thread thread = new Thread(null, work, "javac", STACK_BYTES);
        thread.start();
        thread.join();
        double seconds = (System.nanoTime() - start) / 1e9;
        if (status[0] != 0 && status[0] != 1) Runtime.getRuntime().halt(3);
        reply(status[0], seconds, text.toString().getBytes(UTF_8));
        for (File entry : new File(".").listFiles()) remove(entry);
        return true;
    }

    private void reply(int status, double seconds, byte[] diagnostics) throws IOException {
        Map<String, byte[]> classes = new HashMap<>();
        boolean declined = false;
        if (status == 0) {
            if (Files.isDirectory(CLASSES)) classes.putAll(filesIn(CLASSES));
            // Compiled together with the launcher, classes in its package could mean something else.
            for (String name : classes.keySet()) declined |= name.startsWith("rewardranker/");
            classes.putAll(launcher);
        }
        ByteArrayOutputStream bytes = new ByteArrayOutputStream();
        DataOutputStream reply = new DataOutputStream(bytes);
        reply.writeByte(declined ? 1 : 0);
        reply.writeInt(status);
        reply.writeDouble(seconds);
        reply.writeInt(0);
        reply.writeInt(diagnostics.length);
        reply.writeInt(classes.size());
        reply.write(diagnostics);
        for (Map.Entry<String, byte[]> entry : classes.entrySet()) {
            byte[] name = (CLASSES + "/" + entry.getKey()).getBytes(UTF_8), content = entry.getValue();
            reply.writeInt(name.length);
            reply.writeInt(content.length);
            reply.write(name);
            reply.write(content);
        }
        out.write(ByteBuffer.allocate(4 + bytes.size()).putInt(bytes.size()).put(bytes.toByteArray()).array());
    }

    private static Map<String, byte[]> filesIn(Path folder) throws IOException {
        Map<String, byte[]> files = new HashMap<>();
        try (Stream<Path> paths = Files.walk(folder)) {
            for (Path path : paths.filter(Files::isRegularFile).toList()) {
                files.put(folder.relativize(path).toString(), Files.readAllBytes(path));
            }
        }
        return files;
    }

    private static void remove(File file) throws IOException {
        File[] inner = file.listFiles();
        if (inner != null) for (File f : inner) remove(f);
        Files.delete(file.toPath());
    }
}
