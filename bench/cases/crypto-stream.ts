/** Transform streams on their own: no S3, no network. */
import assert from 'node:assert/strict';
import { createCipheriv, createHash } from 'node:crypto';
import type { Transform } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { committingSuite } from '../../src/format/suites.ts';
import { aesKeyring, createDecryptStream, createEncryptStream } from '../../src/index.ts';
import { createContentKey } from '../../src/keyrings/open-content-key.ts';
import { authenticTag } from '../authentic-tag.ts';
import type { CaseRunner, CaseSpec, StreamWork } from '../case-spec.ts';
import { sourceContent, storedContent } from '../repeated-content.ts';
import { Discard, GeneratedSource } from './generated-source.ts';

// A raw key, so that no KMS is in the figures.
const keyring = aesKeyring({ key: Uint8Array.from({ length: 32 }, (_, i) => 255 - i) });

export async function cryptoStream(spec: CaseSpec & StreamWork): Promise<CaseRunner> {
  return spec.transform === 'sealpipe-decrypt' ? decrypting(spec) : encrypting(spec);
}

/** Content through a stream, between a source and a sink that do next to nothing; resolves to the bytes that came out. */
async function pump(source: GeneratedSource, through: Transform): Promise<number> {
  const sink = new Discard();
  await pipeline(source, through, sink);
  return sink.received;
}

function encrypting({ transform }: StreamWork): CaseRunner {
  const create = (): Transform =>
    transform === 'sealpipe-encrypt'
      ? createEncryptStream({ keyring })
      : createCipheriv('aes-256-gcm', new Uint8Array(32), new Uint8Array(12), { authTagLength: 16 });
  const expected = (size: number): number => size + (transform === 'sealpipe-encrypt' ? 16 : 0);
  return {
    run: async (size) => {
      const received = await pump(new GeneratedSource(sourceContent(size)), create());
      assert.equal(received, expected(size), 'the stream gave another number of bytes');
    },
    check: async () => {
      if (transform !== 'sealpipe-encrypt') return;
      const source = sourceContent(3 * 1024 * 1024 + 5);
      const encryptor = createEncryptStream({ keyring });
      const stored: Buffer[] = [];
      await pipeline(new GeneratedSource(source), encryptor, async (chunks: AsyncIterable<Buffer>) => {
        for await (const chunk of chunks) stored.push(chunk);
      });
      const hash = createHash('sha256');
      await pipeline(stored, createDecryptStream({ keyring, envelope: await encryptor.envelope }), hash);
      assert.equal(hash.digest('hex'), source.sha256(), 'what was encrypted does not decrypt');
    },
    close: async () => undefined,
  };
}

async function decrypting({ size: measured, warmUp }: CaseSpec): Promise<CaseRunner> {
  const { contentKey, envelope } = await createContentKey({ keyring, suite: committingSuite });
  const tags = new Map([measured, warmUp].map((size) => [size, authenticTag(contentKey, storedContent(size))]));
  const run = async (size: number, tag: Buffer): Promise<void> => {
    const decryptor = createDecryptStream({ keyring, envelope, contentLength: size + 16, release: 'delayed' });
    const received = await pump(new GeneratedSource(storedContent(size), tag), decryptor);
    assert.equal(received, size, 'the stream gave another number of bytes');
  };
  return {
    run: (size) => run(size, tags.get(size) as Buffer),
    check: async () => {
      await assert.rejects(run(warmUp, Buffer.alloc(16)), { code: 'ERR_SEALPIPE_AUTHENTICATION_FAILED' });
    },
    close: async () => undefined,
  };
}
