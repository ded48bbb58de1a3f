package sealpipe.interop;

import java.security.GeneralSecurityException;
import java.time.Duration;
import software.amazon.awssdk.http.nio.netty.NettyNioAsyncHttpClient;
import software.amazon.awssdk.services.s3.S3AsyncClient;
import software.amazon.awssdk.services.s3.S3Client;
import software.amazon.encryption.s3.CommitmentPolicy;
import software.amazon.encryption.s3.S3EncryptionClient;
import software.amazon.encryption.s3.algorithms.AlgorithmSuite;
import software.amazon.encryption.s3.internal.InstructionFileConfig;

/**
 * Encryption clients as a job wants them. Endpoints, region and credentials come from the environment variables that the
 * SDK reads by itself (AWS_ENDPOINT_URL_S3 and its like).
 */
final class Clients {
  private final Keyrings keyrings = new Keyrings();
  // An empty body now and then makes a request stall until the write timeout (4.0.1 hands its tag on unasked, before the
  // connection wants it). The caller tries again; by default that would be after 30 seconds.
  private final S3AsyncClient async = S3AsyncClient.builder()
      .forcePathStyle(true)
      .httpClientBuilder(NettyNioAsyncHttpClient.builder().writeTimeout(Duration.ofSeconds(3)))
      .build();

  /** Runs the action with a client of its own. */
  <T> T with(Job job, Action<T> action) throws Exception {
    // Each read of an instruction file leaks one connection of the synchronous client's pool (4.0.1): the 51st would wait
    // for ever in a client that lived on. Closing the encryption client would close the shared asynchronous one too.
    try (S3Client sync = S3Client.builder().forcePathStyle(true).build()) {
      return action.run(client(job, sync));
    }
  }

  interface Action<T> {
    T run(S3EncryptionClient client) throws Exception;
  }

  private S3EncryptionClient client(Job job, S3Client sync) throws GeneralSecurityException {
    boolean v2 = job.writesV2();
    CommitmentPolicy byFormat =
        v2 ? CommitmentPolicy.FORBID_ENCRYPT_ALLOW_DECRYPT : CommitmentPolicy.REQUIRE_ENCRYPT_REQUIRE_DECRYPT;
    return S3EncryptionClient.builderV4()
        .wrappedClient(sync)
        .wrappedAsyncClient(async)
        .keyring(keyrings.of(job.keyring()))
        .encryptionAlgorithm(
            v2
                ? AlgorithmSuite.ALG_AES_256_GCM_IV12_TAG16_NO_KDF
                : AlgorithmSuite.ALG_AES_256_GCM_HKDF_SHA512_COMMIT_KEY)
        .commitmentPolicy(
            job.commitmentPolicy() == null ? byFormat : CommitmentPolicy.valueOf(job.commitmentPolicy()))
        .enableDelayedAuthenticationMode(job.delayedAuthentication())
        .enableMultipartPutObject(job.upload() != null && "multipart".equals(job.upload().kind()))
        .instructionFileConfig(
            InstructionFileConfig.builder()
                .instructionFileClient(sync)
                .enableInstructionFilePutObject(job.writesInstructionFile())
                .build())
        .build();
  }
}
