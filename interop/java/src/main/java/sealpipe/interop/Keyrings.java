package sealpipe.interop;

import java.security.GeneralSecurityException;
import java.security.KeyFactory;
import java.security.PrivateKey;
import java.security.PublicKey;
import java.security.spec.PKCS8EncodedKeySpec;
import java.security.spec.X509EncodedKeySpec;
import java.util.Base64;
import javax.crypto.spec.SecretKeySpec;
import software.amazon.awssdk.services.kms.KmsClient;
import software.amazon.encryption.s3.materials.AesKeyring;
import software.amazon.encryption.s3.materials.KmsKeyring;
import software.amazon.encryption.s3.materials.MaterialsDescription;
import software.amazon.encryption.s3.materials.PartialRsaKeyPair;
import software.amazon.encryption.s3.materials.RsaKeyring;
import software.amazon.encryption.s3.materials.S3Keyring;

/** The keyring that a job describes. */
final class Keyrings {
  private final KmsClient kms = KmsClient.create();

  S3Keyring of(Job.KeyringSpec spec) throws GeneralSecurityException {
    return switch (spec.type()) {
      case "kms" -> KmsKeyring.builder().kmsClient(kms).wrappingKeyId(spec.keyId()).build();
      case "aes" -> AesKeyring.builder()
          .wrappingKey(new SecretKeySpec(Base64.getDecoder().decode(spec.key()), "AES"))
          .materialsDescription(description(spec))
          .build();
      case "rsa" -> RsaKeyring.builder()
          .wrappingKeyPair(new PartialRsaKeyPair(privateKey(spec.privateKey()), publicKey(spec.publicKey())))
          .materialsDescription(description(spec))
          .build();
      default -> throw new IllegalArgumentException("keyring type " + spec.type());
    };
  }

  private static MaterialsDescription description(Job.KeyringSpec spec) {
    MaterialsDescription.Builder builder = MaterialsDescription.builder();
    if (spec.materialsDescription() != null) {
      builder.putAll(spec.materialsDescription());
    }
    return builder.build();
  }

  private static PrivateKey privateKey(String pem) throws GeneralSecurityException {
    return pem == null ? null : KeyFactory.getInstance("RSA").generatePrivate(new PKCS8EncodedKeySpec(der(pem)));
  }

  private static PublicKey publicKey(String pem) throws GeneralSecurityException {
    return pem == null ? null : KeyFactory.getInstance("RSA").generatePublic(new X509EncodedKeySpec(der(pem)));
  }

  private static byte[] der(String pem) {
    return Base64.getMimeDecoder().decode(pem.replaceAll("-----[A-Z ]+-----", ""));
  }
}
