import assert from 'node:assert/strict';
import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { chmodSync } from 'node:fs';
import { describe, test } from 'node:test';
import { CreateKeyCommand } from '@aws-sdk/client-kms';
import { CommandLine } from './command-line.ts';

const line = await CommandLine.start();
const bucket = await line.bucket('keys');
const file = line.file('f', 'content');
const { publicKey, privateKey } = generateKeyPairSync('rsa', {
  modulusLength: 2048,
  publicKeyEncoding: { type: 'spki', format: 'pem' },
  privateKeyEncoding: { type: 'pkcs8', format: 'pem' },
});
const publicPem = line.file('public.pem', publicKey);
const privatePem = line.file('private.pem', privateKey);
line.secret(privateKey.split('\n')[1] ?? 'no line');

async function put(key: string, ...args: string[]): Promise<void> {
  await line.ok(['put', file, `s3://${bucket}/${key}`, ...args, ...line.here]);
}

async function reads(key: string, ...args: string[]): Promise<void> {
  assert.equal((await line.ok(['cat', `s3://${bucket}/${key}`, ...args, ...line.here])).stdout.toString(), 'content');
}

describe('keys', { concurrency: 2 }, () => {
  test('an AES key opens what it wrapped, in whichever form its file has it', async () => {
    const key = randomBytes(32);
    line.secret(key.toString('hex'));
    await put('aes', '--aes-key-file', line.file('aes.raw', key));
    await reads('aes', '--aes-key-file', line.file('aes.base64', `${key.toString('base64')}\n`));
  });

  test('an RSA public key encrypts and its private key decrypts', async () => {
    await put('rsa', '--rsa-public-key', publicPem);
    await reads('rsa', '--rsa-private-key', privatePem);
    const args = ['cat', `s3://${bucket}/rsa`, '--aes-key-file', line.aesKeyFile('other.hex'), ...line.here];
    await line.fails(args, { code: 'KEY_MISMATCH', message: /RSA/ });
  });

  test('further keys are chosen by the exact description of the object', async () => {
    const [old, now] = [line.aesKeyFile('old.hex'), line.aesKeyFile('now.hex', 16)];
    await put(
      'described',
      '--aes-key-file',
      old,
      '--materials-description',
      'year=2019',
      '--materials-description',
      'a=b=c',
    );
    await reads('described', '--aes-key-file', now, '--decryption-key', `year=2019,a=b=c=${old}`);
    await reads('described', '--decryption-key', `{"a":"b=c","year":"2019"}=${old}`);
    const subset = ['cat', `s3://${bucket}/described`, ...line.here, '--decryption-key', `year=2019=${old}`];
    await line.fails(subset, { code: 'KEY_MISMATCH', message: /materials description/ });
    await put('rsa-described', '--rsa-private-key', privatePem, '--materials-description', 'who=us');
    await reads('rsa-described', '--decryption-key', `who=us=${privatePem}`);
  });

  test('discovery decrypts with keys of the accounts that are trusted, and no others', async () => {
    const { KeyMetadata } = await line.kms.send(new CreateKeyCommand({}));
    await put('discovery', '--kms-key-id', KeyMetadata?.Arn ?? '');
    await reads(
      'discovery',
      '--kms-discovery',
      '--kms-account',
      '111122223333',
      '--kms-account',
      line.endpoint.accountId,
    );
    const other = ['cat', `s3://${bucket}/discovery`, '--kms-discovery', '--kms-account', '111122223333', ...line.here];
    await line.fails(other, { code: 'KEY_DENIED' });
  });

  test('a materials provider is asked for each object', async () => {
    const key = line.aesKeyFile('provided.hex');
    const library = new URL('../../src/index.js', import.meta.url).href;
    line.file(
      'provider.mjs',
      `import { readFileSync } from 'node:fs';
       import { aesKeyring } from '${library}';
       export default ({ bucket, key, operation, materialsDescription }) => {
         if (key.startsWith('refused')) throw new Error('not for ' + operation);
         return aesKeyring({ key: Buffer.from(readFileSync('${key}', 'latin1').trim(), 'hex'), materialsDescription: { of: bucket } });
       };`,
    );
    await put('provided', '--materials-provider', './provider.mjs');
    await reads('provided', '--materials-provider', './provider.mjs');
    await reads('provided', '--decryption-key', `of=${bucket}=${key}`);
    const args = ['put', file, `s3://${bucket}/refused`, '--materials-provider', './provider.mjs', ...line.here];
    await line.fails(args, { code: 'PROVIDER_FAILED' });
    const { stderr } = await line.run([...args, '--verbose']);
    assert.match(stderr, /caused by Error: not for encrypt/);
  });

  test('a provider that cannot be loaded is named', async () => {
    line.file('none.mjs', 'export const nothing = 1;');
    for (const [name, message] of [
      ['./missing.mjs', /cannot be loaded/],
      ['./none.mjs', /exports no function/],
      ['no-such-package', /cannot be loaded/],
    ] as const)
      await line.fails(['cat', `s3://${bucket}/k`, '--materials-provider', name, ...line.here], {
        code: 'CONFIG_INVALID',
        message,
      });
  });

  test('a key file that is missing, or holds something else, is named; what it holds is not', async () => {
    const text = line.file('text', 'this is no key');
    const cases: [string[], RegExp][] = [
      [['--aes-key-file', line.path('missing')], /missing cannot be read: it does not exist/],
      [['--aes-key-file', line.folder], /it is a folder/],
      [['--aes-key-file', text], /holds 14 bytes that are no AES key/],
      [['--rsa-private-key', text], /holds no PEM/],
      [['--rsa-private-key', publicPem], /public\.pem: privateKey cannot be read/],
      [['--aes-key-file', line.file('long', 'x'.repeat(70_000))], /70000 bytes, a key file has at most/],
    ];
    await line.allFail(
      cases.map(([args, message]) => [
        ['cat', `s3://${bucket}/k`, ...args, ...line.here],
        { code: 'CONFIG_INVALID', message },
      ]),
    );
  });

  test('--verbose warns of a key file that everybody can read', {
    skip: process.platform === 'win32' && 'no such permissions there',
  }, async () => {
    const key = line.aesKeyFile('open.hex');
    await put('open', '--aes-key-file', key, '--verbose');
    chmodSync(key, 0o644);
    const { status, stderr } = await line.run([
      'cat',
      `s3://${bucket}/open`,
      '--aes-key-file',
      key,
      '--verbose',
      ...line.here,
    ]);
    assert.equal(status, 0);
    assert.match(stderr, /^sealpipe: the key file \S+open\.hex can be read by every user of this machine: chmod 600/);
    await reads('open', '--aes-key-file', key);
  });
});
