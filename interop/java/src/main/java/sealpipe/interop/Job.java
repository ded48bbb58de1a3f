package sealpipe.interop;

import java.util.List;
import java.util.Map;

/** One line of input. Fields that a job does not use are null. See interop/peer.ts, which is where the shape is documented. */
record Job(
    long id,
    String op,
    String bucket,
    String key,
    String file,
    KeyringSpec keyring,
    String format,
    String storage,
    Upload upload,
    Map<String, String> encryptionContext,
    String commitmentPolicy,
    boolean delayedAuthentication) {

  record KeyringSpec(
      String type,
      String keyId,
      String key,
      String publicKey,
      String privateKey,
      Map<String, String> materialsDescription) {}

  record Upload(String kind, long partSize, List<Integer> partSizes) {}

  boolean writesV2() {
    return "v2".equals(format);
  }

  boolean writesInstructionFile() {
    return "instruction-file".equals(storage);
  }

  Map<String, String> context() {
    return encryptionContext == null ? Map.of() : encryptionContext;
  }
}
