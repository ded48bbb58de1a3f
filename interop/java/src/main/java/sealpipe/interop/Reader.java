package sealpipe.interop;

import static software.amazon.encryption.s3.S3EncryptionClient.withAdditionalConfiguration;

import java.io.InputStream;
import java.security.MessageDigest;
import java.util.HexFormat;
import java.util.Map;

/** Reads an object to its end and answers with the digest of what was handed out. */
final class Reader {
  private final Clients clients;

  Reader(Clients clients) {
    this.clients = clients;
  }

  Map<String, Object> read(Job job) throws Exception {
    return clients.with(job, client -> {
      MessageDigest digest = MessageDigest.getInstance("SHA-256");
      long length = 0;
      try (InputStream in = client.getObject(
          b -> b.bucket(job.bucket()).key(job.key()).overrideConfiguration(withAdditionalConfiguration(job.context())))) {
        byte[] buffer = new byte[64 * 1024];
        for (int n = in.read(buffer); n != -1; n = in.read(buffer)) {
          digest.update(buffer, 0, n);
          length += n;
        }
      }
      return Map.of("sha256", HexFormat.of().formatHex(digest.digest()), "length", length);
    });
  }
}
