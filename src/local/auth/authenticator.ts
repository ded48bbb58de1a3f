/** Says who made a request, or why that cannot be said: in the words of S3 and of KMS. */
import { timingSafeEqual } from 'node:crypto';
import type { RequestHead } from '../http/request-head.ts';
import { AuthenticationProblem } from './authentication-problem.ts';
import { ChunkSignatures } from './chunk-signatures.ts';
import { malformed, readClaim } from './claim.ts';
import {
  canonicalRequest,
  deriveSigningKey,
  parseTimestamp,
  type SignatureClaim,
  scopeOf,
  sha256Hex,
  sign,
  stringToSign,
} from './sigv4.ts';

/** A key pair that the endpoint accepts. */
export interface LocalCredentials {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  /** With one, requests must carry it in `x-amz-security-token`, as temporary credentials do. */
  readonly sessionToken?: string;
  /** From this moment on requests get `ExpiredToken` (S3) or `ExpiredTokenException` (KMS). */
  readonly expiration?: Date;
  /** Actions refused with AccessDenied, e.g. `['kms:Decrypt', 's3:Delete*']`: stands in for an IAM policy. */
  readonly deny?: readonly string[];
  /** Name of the user in error messages and in policies: `arn:aws:iam::<account>:user/<name>`. Default: the access key id. */
  readonly userName?: string;
}

export interface AuthenticatorOptions {
  readonly credentials: readonly LocalCredentials[];
  readonly region: string;
  /** Refuse S3 requests signed for another region. */
  readonly strictRegion: boolean;
}

/** Who signed a request. */
export interface Identity {
  readonly credentials: LocalCredentials;
  readonly claim: SignatureClaim;
  readonly presigned: boolean;
  /** For bodies whose chunks are signed. */
  chunkSignatures(): ChunkSignatures;
}

const clockSkew = 15 * 60 * 1000; // ms, as S3 allows

/** Checks signatures against the key pairs it was given. */
export class Authenticator {
  readonly #credentials: ReadonlyMap<string, LocalCredentials>;
  readonly #options: AuthenticatorOptions;
  // One derived key per pair, day, region and service: four HMACs saved on every request but the first.
  readonly #signingKeys = new Map<string, Buffer>();

  constructor(options: AuthenticatorOptions) {
    this.#options = options;
    this.#credentials = new Map(options.credentials.map((pair) => [pair.accessKeyId, pair]));
  }

  /**
   * Verifies a request's signature.
   *
   * @param service `s3` or `kms`, which the scope must name
   * @param path the decoded path
   * @param payloadHash what stands for the body in the signature
   * @throws AuthenticationProblem
   */
  verify(head: RequestHead, service: 's3' | 'kms', path: string, payloadHash: string): Identity {
    const claim = readClaim(head);
    if (claim === undefined) {
      throw new AuthenticationProblem(
        'Access Denied',
        { code: 'AccessDenied', status: 403 },
        { code: 'MissingAuthenticationTokenException', message: 'Missing Authentication Token' },
      );
    }
    this.#checkTime(claim);
    const credentials = this.#findCredentials(claim);
    this.#checkScope(claim, service);
    this.#checkHeadersSigned(head, claim);
    const signingKey = this.#signingKey(credentials, claim);
    this.#checkSignature(head, claim, signingKey, path, payloadHash);
    return {
      credentials,
      claim,
      presigned: claim.presigned,
      chunkSignatures: () =>
        new ChunkSignatures({
          signingKey,
          timestamp: claim.timestamp,
          scope: scopeOf(claim),
          signature: claim.signature,
        }),
    };
  }

  #checkTime(claim: SignatureClaim): void {
    const now = Date.now();
    const made = parseTimestamp(claim.timestamp);
    if (claim.expiresSeconds !== undefined) {
      const end = made + claim.expiresSeconds * 1000;
      if (now > end) {
        throw new AuthenticationProblem(
          'Request has expired',
          {
            code: 'AccessDenied',
            status: 403,
            fields: {
              'X-Amz-Expires': String(claim.expiresSeconds),
              Expires: new Date(end).toISOString(),
              ServerTime: new Date(now).toISOString(),
            },
          },
          { code: 'InvalidSignatureException', message: 'Signature expired' },
        );
      }
      if (made > now + clockSkew) {
        throw new AuthenticationProblem(
          'Request is not yet valid',
          { code: 'AccessDenied', status: 403 },
          { code: 'InvalidSignatureException' },
        );
      }
      return;
    }
    if (Math.abs(now - made) > clockSkew) {
      const server = new Date(now).toISOString();
      throw new AuthenticationProblem(
        'The difference between the request time and the current time is too large.',
        {
          code: 'RequestTimeTooSkewed',
          status: 403,
          fields: { RequestTime: claim.timestamp, ServerTime: server, MaxAllowedSkewMilliseconds: String(clockSkew) },
        },
        {
          code: 'InvalidSignatureException',
          message: `Signature expired: ${claim.timestamp} is now earlier than ${server.replace(/[-:]|\.\d+/g, '')}`,
        },
      );
    }
  }

  #findCredentials(claim: SignatureClaim): LocalCredentials {
    const credentials = this.#credentials.get(claim.accessKeyId);
    if (credentials === undefined) {
      throw new AuthenticationProblem(
        'The AWS Access Key Id you provided does not exist in our records.',
        { code: 'InvalidAccessKeyId', status: 403, fields: { AWSAccessKeyId: claim.accessKeyId } },
        {
          code: 'UnrecognizedClientException',
          message: 'The security token included in the request is invalid.',
        },
      );
    }
    if (credentials.sessionToken !== claim.sessionToken) {
      throw new AuthenticationProblem(
        'The provided token is malformed or otherwise invalid.',
        { code: 'InvalidToken', status: 400 },
        {
          code: 'UnrecognizedClientException',
          message: 'The security token included in the request is invalid.',
        },
      );
    }
    if (credentials.expiration !== undefined && credentials.expiration.getTime() <= Date.now()) {
      throw new AuthenticationProblem(
        'The provided token has expired.',
        { code: 'ExpiredToken', status: 400 },
        { code: 'ExpiredTokenException', message: 'The security token included in the request is expired' },
      );
    }
    return credentials;
  }

  #checkScope(claim: SignatureClaim, service: 's3' | 'kms'): void {
    if (claim.scopeDate !== claim.timestamp.slice(0, 8)) {
      throw malformed(
        `Invalid credential date "${claim.scopeDate}". This date is not the same as X-Amz-Date: "${claim.timestamp.slice(0, 8)}".`,
      );
    }
    if (claim.service !== service) {
      throw malformed(`incorrect service "${claim.service}". This endpoint belongs to "${service}".`);
    }
    if (service === 's3' && this.#options.strictRegion && claim.region !== this.#options.region) {
      throw malformed(
        `the region '${claim.region}' is wrong; expecting '${this.#options.region}'`,
        this.#options.region,
      );
    }
  }

  // A header that changes what a request means but is not signed could be added by anybody who holds a presigned URL.
  #checkHeadersSigned(head: RequestHead, claim: SignatureClaim): void {
    const signed = new Set(claim.signedHeaders);
    const missing = [...head.headers.keys()].filter(
      (name) =>
        (name === 'host' || (name.startsWith('x-amz-') && name !== 'x-amz-content-sha256')) && !signed.has(name),
    );
    if (missing.length === 0) return;
    throw new AuthenticationProblem(
      'There were headers present in the request which were not signed',
      { code: 'AccessDenied', status: 403, fields: { HeadersNotSigned: missing.join(', ') } },
      { code: 'InvalidSignatureException' },
    );
  }

  #signingKey(credentials: LocalCredentials, claim: SignatureClaim): Buffer {
    const name = `${credentials.accessKeyId}/${scopeOf(claim)}`;
    let key = this.#signingKeys.get(name);
    if (key === undefined) {
      key = deriveSigningKey(credentials.secretAccessKey, claim);
      if (this.#signingKeys.size > 1000) this.#signingKeys.clear();
      this.#signingKeys.set(name, key);
    }
    return key;
  }

  #checkSignature(head: RequestHead, claim: SignatureClaim, key: Buffer, path: string, payloadHash: string): void {
    const canonical = canonicalRequest(head, path, claim.signedHeaders, payloadHash);
    const given = Buffer.from(claim.signature);
    const matches = (encoding: 'latin1' | 'utf8'): boolean => {
      const expected = Buffer.from(sign(key, stringToSign(claim, sha256Hex(canonical, encoding))));
      return given.length === expected.length && timingSafeEqual(given, expected);
    };
    if (matches('latin1')) return;
    // Clients differ in what they sign of a header that is not ASCII: the bytes sent, or those bytes taken for Latin-1
    // and encoded once more.
    // biome-ignore lint/suspicious/noControlCharactersInRegex: everything beyond ASCII is meant
    if (/[^\x00-\x7f]/.test(canonical) && matches('utf8')) return;
    const toSign = stringToSign(claim, sha256Hex(canonical, 'latin1'));
    const message =
      'The request signature we calculated does not match the signature you provided. Check your key and signing method.';
    throw new AuthenticationProblem(
      message,
      {
        code: 'SignatureDoesNotMatch',
        status: 403,
        fields: {
          AWSAccessKeyId: claim.accessKeyId,
          StringToSign: toSign,
          SignatureProvided: claim.signature,
          CanonicalRequest: canonical,
        },
      },
      {
        code: 'InvalidSignatureException',
        message:
          'The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key and signing method. Consult the service documentation for details.',
      },
    );
  }
}
