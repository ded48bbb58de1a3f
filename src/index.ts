/** The public surface of sealpipe. Sub-paths add what needs further packages. */
export { errorCodes, SealpipeError, type SealpipeErrorCode, type SealpipeErrorFields } from './errors.ts';
export type { Envelope, EnvelopeStorage, WrappingAlgorithm } from './format/envelope.ts';
export type { CommitmentPolicy, ReadPolicy } from './format/read-policy.ts';
export type { StringMap } from './format/string-map.ts';
export type { ContentSuite, WritableSuiteName } from './format/suites.ts';
export type { AdditionalKey } from './keyrings/additional-keys.ts';
export { type AesKeyringOptions, aesKeyring } from './keyrings/aes.ts';
export { type CachingKeyring, type CachingKeyringOptions, cachingKeyring } from './keyrings/caching.ts';
export type { EncryptionMaterials, GenerateDataKeyRequest, Keyring, UnwrapDataKeyRequest } from './keyrings/keyring.ts';
export { type KmsKeyringOptions, kmsKeyring } from './keyrings/kms.ts';
export { type KmsDiscoveryKeyringOptions, kmsDiscoveryKeyring } from './keyrings/kms-discovery.ts';
export { kmsFailure } from './keyrings/kms-failure.ts';
export { type KeyringProvider, type ProviderRequest, providerKeyring } from './keyrings/provider.ts';
export { type RsaKeyInput, type RsaKeyringOptions, rsaKeyring } from './keyrings/rsa.ts';
export type {
  EncryptedUpload,
  EncryptedUploadParams,
  SegmentIndexOptions,
  UploadEvents,
  UploadOptions,
  UploadProgress,
  UploadResult,
} from './multipart/encrypted-upload.ts';
export { type PlaintextUploadOptions, plaintextUpload } from './multipart/plaintext-upload.ts';
export type { PlainBody, UploadBody } from './multipart/upload-body.ts';
export type { UploadParams } from './multipart/upload-requests.ts';
export type { UploadWriteStream } from './multipart/upload-write-stream.ts';
export type { DeleteManyParams, DeleteOptions, DeleteParams, DeleteResult } from './objects/delete-objects.ts';
export type { DownloadOptions, DownloadResult } from './objects/download-object.ts';
export type {
  AuthenticateRule,
  EncryptedObject,
  PartDownloadOptions,
  PartOptions,
  UnauthenticatedBecause,
} from './objects/encrypted-object.ts';
export { EncryptedS3, type EncryptedS3Options } from './objects/encrypted-s3.ts';
export type { GetOptions, GetParams, GetResult } from './objects/get-object.ts';
export type { HeadOptions, HeadResult } from './objects/head-object.ts';
export type { ListEntry, ListOptions, ListParams } from './objects/list-objects.ts';
export type { ObjectAddress } from './objects/object-setting.ts';
export type { OpenOptions, OpenParams } from './objects/open-object.ts';
export type { ObjectKind } from './objects/probed-lengths.ts';
export type {
  CreateSegmentIndexOptions,
  SegmentIndexParams,
  SegmentIndexResult,
} from './objects/segment-index-creation.ts';
export type { SegmentIndexDescription } from './objects/segment-index-description.ts';
export { type WithEncryptionOptions, withEncryption } from './objects/with-encryption/with-encryption.ts';
export type { ByteRange } from './readers/byte-range.ts';
export type { ReadOptions } from './readers/cached-ranges.ts';
export { type HttpRange, parseHttpRange, resolveHttpRange } from './readers/http-range.ts';
export type { RangeSource } from './readers/range-source.ts';
export type { AccessPolicy } from './readers/read-ahead.ts';
export { type S3FailureContext, s3Failure } from './retry/s3-failure.ts';
export { createDecryptStream, type DecryptStreamOptions } from './streams/decrypt-stream.ts';
export { createEncryptStream, type EncryptStream, type EncryptStreamOptions } from './streams/encrypt-stream.ts';
export type { ReleaseRule } from './streams/plaintext-release.ts';
export { type ByteTransform, createDecryptWebStream, createEncryptWebStream } from './streams/web-streams.ts';
