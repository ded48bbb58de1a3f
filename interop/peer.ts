/**
 * What the matrix is made of: peers that write objects and read each other's. An official client is a program of its own
 * (interop/java, go, python) that takes these jobs as JSON lines; sealpipe is one more peer (sealpipe-peer.ts).
 */

export const officialPeers = ['java', 'go', 'python'] as const;
export type OfficialPeerName = (typeof officialPeers)[number];
export type PeerName = 'sealpipe' | OfficialPeerName;

export interface KmsKeyringSpec {
  readonly type: 'kms';
  readonly keyId: string;
}

export interface AesKeyringSpec {
  readonly type: 'aes';
  /** Base64 of 16, 24 or 32 bytes. */
  readonly key: string;
  readonly materialsDescription?: Readonly<Record<string, string>> | undefined;
}

export interface RsaKeyringSpec {
  readonly type: 'rsa';
  /** SPKI, PEM. */
  readonly publicKey?: string | undefined;
  /** PKCS#8, PEM. */
  readonly privateKey?: string | undefined;
  readonly materialsDescription?: Readonly<Record<string, string>> | undefined;
}

export type KeyringSpec = KmsKeyringSpec | AesKeyringSpec | RsaKeyringSpec;
export type KeyringType = KeyringSpec['type'];

/** How the bytes reach S3; sizes in bytes of plaintext. */
export type UploadSpec =
  /** One PutObject. */
  | { readonly kind: 'put' }
  /** What the client itself offers for large bodies, cut by it into parts of this size. */
  | { readonly kind: 'multipart'; readonly partSize: number }
  /** Create, one UploadPart each, Complete, by the caller. */
  | { readonly kind: 'parts'; readonly partSizes: readonly number[] }
  /** Piped into a writable stream that is not told the length. */
  | { readonly kind: 'stream' };
export type UploadKind = UploadSpec['kind'];

export interface WriteJob {
  readonly bucket: string;
  readonly key: string;
  /** Path of the file that holds the plaintext. */
  readonly file: string;
  readonly keyring: KeyringSpec;
  /** `v2` is written under FORBID_ENCRYPT_ALLOW_DECRYPT, `v3` under the clients' default policy. */
  readonly format: 'v2' | 'v3';
  readonly storage: 'metadata' | 'instruction-file';
  readonly upload: UploadSpec;
  readonly encryptionContext?: Readonly<Record<string, string>> | undefined;
}

export interface ReadJob {
  readonly bucket: string;
  readonly key: string;
  readonly keyring: KeyringSpec;
  /** Absent: the request carries none, which is not the same to every client as an empty one. */
  readonly encryptionContext?: Readonly<Record<string, string>> | undefined;
  /** Default REQUIRE_ENCRYPT_REQUIRE_DECRYPT, as in all clients: reads V3 alone. */
  readonly commitmentPolicy?: 'REQUIRE_ENCRYPT_ALLOW_DECRYPT' | 'REQUIRE_ENCRYPT_REQUIRE_DECRYPT' | undefined;
  /** Plaintext as it is decrypted, the tag checked at the end. Default false. */
  readonly delayedAuthentication?: boolean | undefined;
  /** After this many milliseconds the job counts as hung and a program is killed. Default 120 000. */
  readonly timeoutMs?: number | undefined;
}

/** The plaintext that a peer read, to its end. */
export interface Digest {
  /** Hexadecimal. */
  readonly sha256: string;
  /** Bytes. */
  readonly length: number;
}

export interface Peer {
  readonly name: PeerName;
  /** The client and its version. */
  readonly client: string;
  readonly runtime: string;
  /** Jobs may be handed in at once; a peer takes one after the other. Rejects with a {@link PeerError}. */
  write(job: WriteJob): Promise<void>;
  /** Resolves only after the object's end, so whatever a client finds wrong there counts. Rejects with a {@link PeerError}. */
  read(job: ReadJob): Promise<Digest>;
  close(): Promise<void>;
}

/** What a peer can be asked for. The rest of the matrix does not exist for it. */
export interface Abilities {
  readonly keyrings: readonly KeyringType[];
  readonly writesInstructionFiles: boolean;
  readonly uploads: readonly UploadKind[];
  readonly delayedAuthentication: boolean;
}

export const abilities: Readonly<Record<PeerName, Abilities>> = {
  sealpipe: {
    keyrings: ['kms', 'aes', 'rsa'],
    writesInstructionFiles: true,
    uploads: ['put', 'multipart', 'stream'],
    delayedAuthentication: true,
  },
  java: {
    keyrings: ['kms', 'aes', 'rsa'],
    writesInstructionFiles: true,
    uploads: ['put', 'multipart', 'parts'],
    delayedAuthentication: true,
  },
  go: { keyrings: ['kms'], writesInstructionFiles: false, uploads: ['put'], delayedAuthentication: false },
  python: {
    keyrings: ['kms'],
    writesInstructionFiles: false,
    uploads: ['put', 'multipart', 'parts'],
    delayedAuthentication: true,
  },
};

/** How a job ended without a result: the client refused, did not answer in time, or its process died. */
export type PeerErrorKind = 'refused' | 'hung' | 'died';

export class PeerError extends Error {
  readonly kind: PeerErrorKind;
  /** Class and message of the client's own error and of its causes, outermost first. */
  readonly chain: readonly string[];

  constructor(kind: PeerErrorKind, chain: readonly string[]) {
    super(chain.join(' <- '));
    this.name = 'PeerError';
    this.kind = kind;
    this.chain = chain;
  }
}
