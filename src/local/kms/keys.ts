/** The keys, aliases and grants of KMS, all regions together, in one file. */
import { randomBytes, randomUUID } from 'node:crypto';
import { existsSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { SealpipeError } from '../../errors.ts';
import { KmsError, notFound } from './kms-error.ts';

export type KeySpec = 'SYMMETRIC_DEFAULT' | 'RSA_2048' | 'RSA_3072' | 'RSA_4096';

export interface KeyMaterial {
  /** Base64 of 32 bytes. */
  readonly key: string;
  /** Milliseconds since 1970. */
  readonly created: number;
  readonly rotation?: 'AUTOMATIC' | 'ON_DEMAND';
}

export interface KmsGrant {
  readonly id: string;
  readonly token: string;
  readonly name?: string;
  readonly grantee: string;
  readonly retiringPrincipal?: string;
  readonly operations: readonly string[];
  readonly constraints?: {
    readonly EncryptionContextEquals?: Readonly<Record<string, string>>;
    readonly EncryptionContextSubset?: Readonly<Record<string, string>>;
  };
  /** Milliseconds since 1970. */
  readonly created: number;
}

export interface KmsKey {
  readonly id: string;
  readonly region: string;
  readonly spec: KeySpec;
  /** `AWS` for the key that S3 uses when none is named. */
  readonly manager: 'CUSTOMER' | 'AWS';
  /** Milliseconds since 1970. */
  readonly created: number;
  description: string;
  enabled: boolean;
  /** When it will be deleted, milliseconds since 1970. */
  deletion?: number | undefined;
  /** Of a symmetric key; the last is the one that encrypts. */
  materials: KeyMaterial[];
  /** Of an RSA key, PKCS#8 PEM. */
  readonly privateKey?: string;
  /** Of a multi-Region key. */
  readonly primaryRegion?: string;
  rotationPeriodDays?: number | undefined;
  /** JSON text. */
  policy: string;
  tags: { readonly TagKey: string; readonly TagValue: string }[];
  grants: KmsGrant[];
}

export interface KmsAlias {
  readonly region: string;
  /** With its prefix, `alias/…`. */
  readonly name: string;
  keyId: string;
  readonly created: number;
  updated: number;
}

const uuid = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;
const multiRegionId = /^mrk-[0-9a-f]{32}$/;

export interface KmsKeysOptions {
  /** File they are kept in. */
  readonly path: string;
  readonly accountId: string;
  /** Aliases for which a symmetric key is made when they are first asked for, e.g. `alias/sealpipe`. */
  readonly createAliases: readonly string[];
}

export class KmsKeys {
  readonly #options: KmsKeysOptions;
  #keys: KmsKey[] = [];
  #aliases: KmsAlias[] = [];

  constructor(options: KmsKeysOptions) {
    this.#options = options;
    if (!existsSync(options.path)) return;
    try {
      const stored = JSON.parse(readFileSync(options.path, 'utf8')) as { keys: KmsKey[]; aliases: KmsAlias[] };
      this.#keys = stored.keys;
      this.#aliases = stored.aliases;
    } catch (cause) {
      throw new SealpipeError('CONFIG_INVALID', `the local endpoint's file ${options.path} cannot be read as JSON`, {
        cause,
      });
    }
  }

  get accountId(): string {
    return this.#options.accountId;
  }

  /** Writes all of it to the disk. To be called after each change. */
  save(): void {
    const { path } = this.#options;
    writeFileSync(`${path}.new`, `${JSON.stringify({ keys: this.#keys, aliases: this.#aliases }, undefined, 2)}\n`, {
      mode: 0o600,
    });
    renameSync(`${path}.new`, path);
  }

  arn(key: Pick<KmsKey, 'region' | 'id'>): string {
    return `arn:aws:kms:${key.region}:${this.accountId}:key/${key.id}`;
  }

  aliasArn(alias: Pick<KmsAlias, 'region' | 'name'>): string {
    return `arn:aws:kms:${alias.region}:${this.accountId}:${alias.name}`;
  }

  /** Keys of a region, in order of creation. */
  list(region: string): KmsKey[] {
    this.#expire();
    return this.#keys.filter((key) => key.region === region);
  }

  /** The same multi-Region key in all its regions, or the one key. */
  related(key: KmsKey): KmsKey[] {
    return this.#keys.filter((other) => other.id === key.id);
  }

  aliases(region: string): KmsAlias[] {
    return this.#aliases.filter((alias) => alias.region === region);
  }

  alias(region: string, name: string): KmsAlias | undefined {
    return this.#aliases.find((alias) => alias.region === region && alias.name === name);
  }

  add(key: KmsKey): void {
    this.#keys.push(key);
    this.save();
  }

  addAlias(region: string, name: string, keyId: string): void {
    const now = Date.now();
    this.#aliases.push({ region, name, keyId, created: now, updated: now });
    this.save();
  }

  removeAlias(alias: KmsAlias): void {
    this.#aliases = this.#aliases.filter((other) => other !== alias);
    this.save();
  }

  /** The key of exactly this id, if the region has it. */
  byId(region: string, id: string): KmsKey | undefined {
    this.#expire();
    return this.#keys.find((key) => key.region === region && key.id === id);
  }

  /**
   * Finds a key by any of the four forms of its name: key id, key ARN, alias name, alias ARN.
   *
   * @throws KmsError NotFoundException with KMS's texts
   */
  find(region: string, name: string): KmsKey {
    let local = name;
    if (name.startsWith('arn:')) {
      const match = /^arn:(aws[a-z-]*):kms:([a-z0-9-]+):(\d{12}):((?:key|alias)\/.+)$/.exec(name);
      if (match === null) throw notFound(`Invalid arn ${name}`);
      if (match[2] !== region) throw notFound(`Invalid arn ${match[2]}`);
      if (match[3] !== this.accountId) {
        throw new KmsError(
          'AccessDeniedException',
          'The request references a key of another account, which does not exist here or does not allow access.',
        );
      }
      local = match[4]!.startsWith('key/') ? match[4]!.slice('key/'.length) : match[4]!;
    }
    if (local.startsWith('alias/')) return this.#findByAlias(region, local);
    if (!uuid.test(local) && !multiRegionId.test(local)) throw notFound(`Invalid keyId ${name}`);
    const key = this.byId(region, local);
    if (key === undefined) throw notFound(`Key '${this.arn({ region, id: local })}' does not exist`);
    return key;
  }

  #findByAlias(region: string, name: string): KmsKey {
    let alias = this.alias(region, name);
    if (alias === undefined && this.#options.createAliases.includes(name)) {
      const key = this.createSymmetric(region, { description: `made by the local endpoint for ${name}` });
      this.add(key);
      this.addAlias(region, name, key.id);
      alias = this.alias(region, name);
    }
    const key = alias === undefined ? undefined : this.byId(region, alias.keyId);
    if (key === undefined) throw notFound(`Alias ${this.aliasArn({ region, name })} is not found.`);
    return key;
  }

  /** The key that S3 uses for SSE-KMS when a request names none. */
  s3Default(region: string): KmsKey {
    const name = 'alias/aws/s3';
    const alias = this.alias(region, name);
    const known = alias === undefined ? undefined : this.byId(region, alias.keyId);
    if (known !== undefined) return known;
    const key = this.createSymmetric(region, {
      description: 'Default key that protects my S3 objects when no other key is defined',
      manager: 'AWS',
    });
    this.add(key);
    this.addAlias(region, name, key.id);
    return key;
  }

  /** A new symmetric key, not yet added. */
  createSymmetric(
    region: string,
    options: {
      readonly description?: string;
      readonly manager?: 'CUSTOMER' | 'AWS';
      readonly multiRegion?: boolean;
    } = {},
  ): KmsKey {
    const now = Date.now();
    return {
      id: options.multiRegion === true ? `mrk-${randomUUID().replaceAll('-', '')}` : randomUUID(),
      region,
      spec: 'SYMMETRIC_DEFAULT',
      manager: options.manager ?? 'CUSTOMER',
      created: now,
      description: options.description ?? '',
      enabled: true,
      materials: [{ key: randomBytes(32).toString('base64'), created: now }],
      ...(options.multiRegion === true ? { primaryRegion: region } : {}),
      policy: defaultPolicy(this.accountId),
      tags: [],
      grants: [],
    };
  }

  // A key whose waiting period is over is gone, and its ciphertexts with it.
  #expire(): void {
    const now = Date.now();
    const gone = this.#keys.filter((key) => key.deletion !== undefined && key.deletion <= now);
    if (gone.length === 0) return;
    this.#keys = this.#keys.filter((key) => !gone.includes(key));
    this.#aliases = this.#aliases.filter(
      (alias) => !gone.some((key) => key.region === alias.region && key.id === alias.keyId),
    );
    this.save();
  }
}

function defaultPolicy(accountId: string): string {
  return JSON.stringify({
    Version: '2012-10-17',
    Id: 'key-default-1',
    Statement: [
      {
        Sid: 'Enable IAM User Permissions',
        Effect: 'Allow',
        Principal: { AWS: `arn:aws:iam::${accountId}:root` },
        Action: 'kms:*',
        Resource: '*',
      },
    ],
  });
}
