/** What the package may not have yet. Its cases appear in the catalogue as soon as it does. */
import type { S3Client } from '@aws-sdk/client-s3';
import * as sealpipe from '../../src/index.ts';

type WithEncryption = (client: S3Client, options: { keyring: sealpipe.Keyring }) => S3Client;

/** The random reader of `EncryptedS3.open`, as far as it is needed here. */
export interface OpenObject {
  readonly size: number;
  read(start: number, end: number): Promise<Uint8Array>;
  close?(): void | Promise<void>;
}

type Open = (params: { Bucket: string; Key: string }, options: { authenticate: 'never' }) => Promise<OpenObject>;

const exported = sealpipe as unknown as { readonly withEncryption?: WithEncryption };

export const hasWithEncryption: boolean = typeof exported.withEncryption === 'function';

export function withEncryption(client: S3Client, options: { keyring: sealpipe.Keyring }): S3Client {
  if (exported.withEncryption === undefined) throw new Error('this version has no withEncryption');
  return exported.withEncryption(client, options);
}

function openOf(s3: object): Open | undefined {
  const { open } = s3 as { readonly open?: Open };
  return open?.bind(s3);
}

export const hasOpen: boolean = openOf(sealpipe.EncryptedS3.prototype) !== undefined;

/** Reads without authentication: no object that a sink serves has an index. */
export function openObject(s3: sealpipe.EncryptedS3, params: { Bucket: string; Key: string }): Promise<OpenObject> {
  const open = openOf(s3);
  if (open === undefined) throw new Error('this version has no EncryptedS3.open');
  return open(params, { authenticate: 'never' });
}
