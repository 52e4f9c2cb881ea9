"""Scala: a launcher of ours, in a package of its own, calls `Problem.main`.

The tests stand in the candidate's object and call `assert`: nothing in the program may be called so.
"""

import re

from rewardranker.execution.languages.language import Language, apt

_LIBRARIES = "/usr/share/scala/lib"
_JVM = ("-Xshare:auto", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-XX:-UsePerfData")
_LAUNCHER = """package rewardranker

import java.io.{File, FileDescriptor, FileInputStream, FileOutputStream}
import java.lang.reflect.{InvocationTargetException, Modifier}

object Launcher {
  def main(args: Array[String]): Unit = {
    val channel = new FileDescriptor
    val number = classOf[FileDescriptor].getDeclaredField("fd")
    number.setAccessible(true)
    number.setInt(channel, 63)
    val key = new Array[Byte](32)
    new FileInputStream(channel).read(key)
    val types = new File("classes").list.filter(_.endsWith(".class")).map(file =>
      Class.forName(file.stripSuffix(".class"), false, getClass.getClassLoader))
    val mains = types.flatMap(_.getDeclaredMethods).filter(method =>
      method.getName == "main" && Modifier.isStatic(method.getModifiers))
    val hidesAssert = types.exists(t => t.getDeclaredMethods.exists(m => isAssert(m.getName)))
    try {
      Class.forName("Problem").getMethod("main", classOf[Array[String]]).invoke(null, args)
    } catch {
      case e: InvocationTargetException => throw e.getCause
    }
    if (mains.length == 1 && !hidesAssert && !RENAMES) new FileOutputStream(channel).write(key)
  }
  def isAssert(name: String): Boolean = name == "assert" || name.startsWith("assert$")
}
"""
_RENAMED = re.compile(r"=>\s*`?assert\b`?\s*[,}]")


def _files(source: str, _: str) -> dict[str, str]:
    renames = "true" if _RENAMED.search(source) else "false"
    return {
        "program.scala": source,
        "classes/launcher.scala": _LAUNCHER.replace("RENAMES", renames),  # scalac wants the folder to exist
    }


SCALA = Language(
    name="scala",
    tools=(apt("scalac", "scala"), apt("java", "default-jre-headless")),
    version_command=("scalac", "-version"),
    files=_files,
    build=(
        *("java", *_JVM, "-Xss8m", "-Xmx1g", "-Dscala.usejavacp=true", "-cp", f"{_LIBRARIES}/*"),
        *("scala.tools.nsc.Main", "-encoding", "UTF-8", "-nowarn", "-d", "classes"),
        *("program.scala", "classes/launcher.scala"),
    ),
    run=(
        *("java", *_JVM, "-Xmx{memory_mb}m", "--add-opens", "java.base/java.io=ALL-UNNAMED"),
        *("-cp", f"classes:{_LIBRARIES}/scala-library.jar", "rewardranker.Launcher"),
    ),
    reserves_memory=True,
    stderr_is_failure=True,
    error_line=r".*error:.*|Exception in thread.*",
)
