package sealpipe.interop;

import com.google.gson.Gson;
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import software.amazon.encryption.s3.internal.ApiNameVersion;

/** Jobs as JSON lines on standard input, one answer a line on standard output. Ends with its input. */
public final class Main {
  public static void main(String[] args) throws Exception {
    PrintStream out = new PrintStream(new java.io.FileOutputStream(java.io.FileDescriptor.out), true, StandardCharsets.UTF_8);
    // Whatever a library prints must not end up between the answers.
    System.setOut(System.err);
    Gson gson = new Gson();
    Clients clients = new Clients();
    Writer writer = new Writer(clients);
    Reader reader = new Reader(clients);
    out.println(gson.toJson(Map.of(
        "client", "amazon-s3-encryption-client-java " + ApiNameVersion.apiNameWithVersion().version(),
        "runtime", "Java " + Runtime.version().feature())));
    BufferedReader in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
    for (String line = in.readLine(); line != null; line = in.readLine()) {
      Job job = gson.fromJson(line, Job.class);
      Map<String, Object> answer = new LinkedHashMap<>();
      answer.put("id", job.id());
      try {
        answer.putAll(
            switch (job.op()) {
              case "write" -> writer.write(job);
              case "read" -> reader.read(job);
              default -> throw new IllegalArgumentException("op " + job.op());
            });
        answer.put("ok", true);
      } catch (Exception | Error e) {
        answer.put("ok", false);
        answer.put("error", describe(e));
      }
      out.println(gson.toJson(answer));
    }
    // The SDK's event loop threads would keep the process alive.
    System.exit(0);
  }

  private static Map<String, Object> describe(Throwable error) {
    List<String> causes = new ArrayList<>();
    for (Throwable cause = error.getCause(); cause != null && causes.size() < 8; cause = cause.getCause()) {
      causes.add(cause.getClass().getSimpleName() + ": " + cause.getMessage());
    }
    return Map.of(
        "name", error.getClass().getSimpleName(),
        "message", String.valueOf(error.getMessage()),
        "causes", causes);
  }
}
