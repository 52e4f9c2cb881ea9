"""Java: a launcher of ours, in a package of its own, calls the program's `main`."""

import re
from pathlib import Path

from rewardranker.execution.languages.language import Language, Prebuilt, apt

_SERVICE = Path(__file__).parents[1] / "compilers" / "services" / "JavaCompiler.java"
_JAVATUPLES = "/usr/share/java/javatuples.jar"
_MAX_NAME = 200
_LAUNCHER = """package rewardranker;

import java.io.File;
import java.io.FileDescriptor;
import java.io.FileInputStream;
import java.io.FileOutputStream;
import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Method;
import java.util.ArrayList;
import java.util.List;

final class Launcher {
    public static void main(String[] args) throws Throwable {
        FileDescriptor channel = new FileDescriptor();
        java.lang.reflect.Field number = FileDescriptor.class.getDeclaredField("fd");
        number.setAccessible(true);
        number.setInt(channel, 63);
        byte[] key = new byte[32];
        new FileInputStream(channel).read(key);
        List<Method> mains = new ArrayList<>();
        for (String file : new File("classes").list()) {
            if (!file.endsWith(".class")) continue;
            Class<?> type = Class.forName(
                file.substring(0, file.length() - 6), false, Launcher.class.getClassLoader());
            try {
                Method main = type.getDeclaredMethod("main", String[].class);
                mains.add(type.getName().equals("Problem") ? 0 : mains.size(), main);
            } catch (NoSuchMethodException e) {
                continue;
            }
        }
        if (mains.isEmpty()) throw new NoSuchMethodException("no class has a main(String[])");
        Method main = mains.get(0);
        main.setAccessible(true);
        try {
            main.invoke(null, (Object) args);
        } catch (InvocationTargetException e) {
            throw e.getCause();
        }
        if (mains.size() > 1) return; // the tests may be in another
        new FileOutputStream(channel).write(key);
    }
}
"""
_PUBLIC_TYPE = re.compile(
    r"^\s*public\s+(?:(?:final|abstract|sealed|strictfp)\s+)*(?:class|interface|enum|record)\s+(\w+)", re.M
)


def _files(source: str, _: str) -> dict[str, str]:
    public = _PUBLIC_TYPE.search(source)
    # A name that no file can have is left to javac, which says so.
    name = f"{public[1] if public and len(public[1].encode()) <= _MAX_NAME else 'Problem'}.java"
    return {
        name: source,
        "rewardranker/Launcher.java": _LAUNCHER,
        "sources": f"{name}\n",
    }


_SMALL_JVM = ("-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-XX:-UsePerfData")
_OPTIONS = ("-proc:none", "-encoding", "UTF8")

JAVA = Language(
    name="java",
    tools=(
        apt("javac", "default-jdk-headless"),
        apt(_JAVATUPLES, "libjavatuples-java", needed_by="org.javatuples"),
    ),
    version_command=("javac", "-version"),
    files=_files,
    build=(
        *("javac", *(f"-J{option}" for option in _SMALL_JVM), *_OPTIONS, "-cp", _JAVATUPLES, "-d", "classes"),
        *("@sources", "rewardranker/Launcher.java"),
    ),
    warm=(
        *("java", *_SMALL_JVM, "-Xmx512m", "-cp", "{prebuilt}/service", "JavaCompiler"),
        *("{prebuilt}/launcher", *_OPTIONS, "-cp", f"{_JAVATUPLES}:{{prebuilt}}/launcher", "-d", "classes"),
        "@sources",
    ),
    prebuilt=Prebuilt(
        sources={"JavaCompiler.java": _SERVICE.read_text(), "Launcher.java": _LAUNCHER},
        commands=(
            ("javac", *_OPTIONS, "-d", "service", "JavaCompiler.java"),
            ("javac", *_OPTIONS, "-d", "launcher", "Launcher.java"),
        ),
    ),
    run=(
        *("java", "-ea", "-Xmx{memory_mb}m", "-Xshare:auto", *_SMALL_JVM),
        *("--add-opens", "java.base/java.io=ALL-UNNAMED"),
        *("-cp", f"classes:{_JAVATUPLES}", "rewardranker.Launcher"),
    ),
    reserves_memory=True,
    error_line=r".*error:.*|Exception in thread.*",
)
