/**
 * A certificate authority of the endpoint's own, for `tls: true`.
 *
 * Made afresh, or once for a folder, instead of shipped with the package: a published private key would let anybody
 * pass for whatever a user's machine was told to trust. Certificates are made per host name, as it is asked for, since
 * `*.localhost` is a wildcard that clients refuse, and bucket names stand before `.localhost`.
 */
import { createPrivateKey, generateKeyPairSync, type KeyObject, randomBytes, sign } from 'node:crypto';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { isIP } from 'node:net';
import { createSecureContext, type SecureContext, type TlsOptions } from 'node:tls';
import { bits, boolean, der, integer, octets, oid, sequence, set, time, utf8 } from './der.ts';

const day = 24 * 3600 * 1000; // ms
const ecdsaWithSha256 = sequence(oid('1.2.840.10045.4.3.2'));

function name(commonName: string): Buffer {
  return sequence(set(sequence(oid('2.5.4.3'), utf8(commonName))));
}

function pem(label: string, bytes: Buffer): string {
  const lines = bytes.toString('base64').match(/.{1,64}/g) ?? [];
  return [`-----BEGIN ${label}-----`, ...lines, `-----END ${label}-----`, ''].join('\n');
}

function extension(id: string, value: Buffer, options: { readonly critical?: boolean } = {}): Buffer {
  return sequence(oid(id), ...(options.critical === true ? [boolean(true)] : []), octets(value));
}

function addressBytes(address: string): Buffer {
  if (isIP(address) === 4) return Buffer.from(address.split('.').map(Number));
  // Of IPv6 only the loopback address is ever named here.
  return Buffer.concat([Buffer.alloc(15), Buffer.of(1)]);
}

function alternativeName(host: string): Buffer {
  return isIP(host) === 0 ? der(0x82, Buffer.from(host, 'latin1')) : der(0x87, addressBytes(host));
}

interface CertificateRequest {
  readonly subject: string;
  readonly issuer: string;
  readonly publicKey: KeyObject;
  readonly signedBy: KeyObject;
  readonly extensions: readonly Buffer[];
}

function makeCertificate(request: CertificateRequest): string {
  const now = Date.now();
  const body = sequence(
    der(0xa0, integer(Buffer.of(2))), // version 3
    integer(Buffer.concat([Buffer.of(1), randomBytes(15)])),
    ecdsaWithSha256,
    name(request.issuer),
    // From yesterday, for clocks that differ a little.
    sequence(time(new Date(now - day)), time(new Date(now + 3650 * day))),
    name(request.subject),
    request.publicKey.export({ type: 'spki', format: 'der' }),
    der(0xa3, sequence(...request.extensions)),
  );
  const signature = sign('sha256', body, request.signedBy);
  return pem('CERTIFICATE', sequence(body, ecdsaWithSha256, bits(signature)));
}

const authority = 'sealpipe local endpoint, for tests only';

/** The hosts that the first certificate is for. */
const ownHosts = ['localhost', 's3.localhost', '127.0.0.1', '::1'];

export class LocalCertificates {
  /** PEM of the authority's certificate, for clients to trust. */
  readonly ca: string;
  readonly #authorityKey: KeyObject;
  readonly #hostKey: KeyObject;
  readonly #hostPublicKey: KeyObject;
  readonly #contexts = new Map<string, SecureContext>();

  /** @param path file that keeps the authority, so that a folder's clients need not be told anew; undefined makes one for this run */
  constructor(path: string | undefined) {
    if (path !== undefined && existsSync(path)) {
      const stored = JSON.parse(readFileSync(path, 'utf8')) as { ca: string; key: string };
      this.ca = stored.ca;
      this.#authorityKey = createPrivateKey(stored.key);
    } else {
      const pair = generateKeyPairSync('ec', { namedCurve: 'P-256' });
      this.#authorityKey = pair.privateKey;
      this.ca = makeCertificate({
        subject: authority,
        issuer: authority,
        publicKey: pair.publicKey,
        signedBy: pair.privateKey,
        extensions: [
          extension('2.5.29.19', sequence(boolean(true)), { critical: true }), // basic constraints: CA
          extension('2.5.29.15', bits(Buffer.of(0b0000_0110), 1), { critical: true }), // key usage: sign certificates and lists
        ],
      });
      if (path !== undefined) {
        const key = pair.privateKey.export({ type: 'pkcs8', format: 'pem' });
        writeFileSync(path, JSON.stringify({ ca: this.ca, key }), { mode: 0o600 });
      }
    }
    const host = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    this.#hostKey = host.privateKey;
    this.#hostPublicKey = host.publicKey;
  }

  /** What a TLS server needs. */
  serverOptions(): TlsOptions {
    return {
      key: this.#hostKey.export({ type: 'pkcs8', format: 'pem' }),
      cert: this.#hostCertificate(ownHosts),
      SNICallback: (host, done) => done(null, this.#context(host)),
    };
  }

  // Undefined lets the server use its own certificate.
  #context(host: string): SecureContext | undefined {
    if (ownHosts.includes(host) || !host.endsWith('.localhost')) return undefined;
    let context = this.#contexts.get(host);
    if (context === undefined) {
      context = createSecureContext({
        key: this.#hostKey.export({ type: 'pkcs8', format: 'pem' }) as string,
        cert: this.#hostCertificate([host]),
      });
      if (this.#contexts.size > 1000) this.#contexts.clear();
      this.#contexts.set(host, context);
    }
    return context;
  }

  #hostCertificate(hosts: readonly string[]): string {
    return makeCertificate({
      subject: hosts[0]!.slice(0, 64), // the limit of a common name
      issuer: authority,
      publicKey: this.#hostPublicKey,
      signedBy: this.#authorityKey,
      extensions: [
        extension('2.5.29.19', sequence(), { critical: true }), // basic constraints: no CA
        extension('2.5.29.37', sequence(oid('1.3.6.1.5.5.7.3.1'))), // extended key usage: server
        extension('2.5.29.17', sequence(...hosts.map(alternativeName))),
      ],
    });
  }
}
