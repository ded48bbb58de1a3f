package sealpipe.interop;

import static software.amazon.encryption.s3.S3EncryptionClient.withAdditionalConfiguration;

import java.io.IOException;
import java.io.InputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import software.amazon.awssdk.core.sync.RequestBody;
import software.amazon.awssdk.services.s3.model.CompletedPart;
import software.amazon.awssdk.services.s3.model.SdkPartType;
import software.amazon.encryption.s3.S3EncryptionClient;
import software.amazon.encryption.s3.materials.MultipartConfiguration;

/** Puts a file, in one request or in parts. */
final class Writer {
  private final Clients clients;

  Writer(Clients clients) {
    this.clients = clients;
  }

  Map<String, Object> write(Job job) throws Exception {
    return clients.with(job, client -> {
      switch (job.upload() == null ? "put" : job.upload().kind()) {
        case "put" -> client.putObject(
            b -> b.bucket(job.bucket()).key(job.key()).overrideConfiguration(withAdditionalConfiguration(job.context())),
            RequestBody.fromFile(Path.of(job.file())));
        case "multipart" -> client.putObject(
            b -> b.bucket(job.bucket()).key(job.key()).overrideConfiguration(
                withAdditionalConfiguration(
                    job.context(), MultipartConfiguration.builder().partSize(job.upload().partSize()).build())),
            RequestBody.fromFile(Path.of(job.file())));
        case "parts" -> parts(client, job);
        default -> throw new IllegalArgumentException("upload kind " + job.upload().kind());
      }
      return Map.of();
    });
  }

  private static void parts(S3EncryptionClient client, Job job) throws IOException {
    String uploadId = client.createMultipartUpload(
        b -> b.bucket(job.bucket()).key(job.key()).overrideConfiguration(withAdditionalConfiguration(job.context())))
        .uploadId();
    List<CompletedPart> done = new ArrayList<>();
    try (InputStream in = Files.newInputStream(Path.of(job.file()))) {
      List<Integer> sizes = job.upload().partSizes();
      for (int i = 0; i < sizes.size(); i++) {
        int number = i + 1;
        boolean last = number == sizes.size();
        byte[] bytes = in.readNBytes(sizes.get(i));
        String etag = client.uploadPart(
            b -> {
              b.bucket(job.bucket()).key(job.key()).uploadId(uploadId).partNumber(number);
              if (last) {
                b.sdkPartType(SdkPartType.LAST);
              }
            },
            RequestBody.fromBytes(bytes)).eTag();
        done.add(CompletedPart.builder().partNumber(number).eTag(etag).build());
      }
    }
    client.completeMultipartUpload(
        b -> b.bucket(job.bucket()).key(job.key()).uploadId(uploadId).multipartUpload(m -> m.parts(done)));
  }
}
