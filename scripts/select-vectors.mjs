// Makes fixtures/vectors/ from the full conformance set that SEALPIPE_SHARED names: every case with a body of up to 2 KiB,
// bodies and instruction files inline, one case a line, without what only the set's own makers need.
import { cpSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const shared = process.env.SEALPIPE_SHARED;
if (!shared) throw new Error('set SEALPIPE_SHARED to the folder that holds vectors/');
const from = join(shared, 'vectors');
const to = join(import.meta.dirname, '../fixtures/vectors');
const manifest = JSON.parse(readFileSync(join(from, 'manifest.json'), 'utf8'));
const limit = 2048;

const cases = manifest.cases
  .filter((entry) => entry.body !== undefined && entry.bodyLength <= limit && entry.plaintext.file === undefined)
  .map(
    ({
      body,
      bodyLength,
      bodySha256,
      etag,
      parts,
      readBy,
      assembled,
      metadataAsSent,
      javaCannotRead,
      contentSuite,
      kms,
      ...entry
    }) => ({
      ...entry,
      writer: `${entry.writer.name} ${entry.writer.version}${entry.writer.client ? ` ${entry.writer.client}` : ''}`,
      bodyBase64: readFileSync(join(from, body)).toString('base64'),
      ...(entry.instructionFile?.path && {
        instructionFile: {
          ...entry.instructionFile,
          path: undefined,
          bodyBase64: readFileSync(join(from, entry.instructionFile.path)).toString('base64'),
        },
      }),
      contentSuite: contentSuite.id,
    }),
  );
const ids = new Set(cases.map(({ id }) => id));
const blobs = new Set(
  cases.flatMap(({ metadata, instructionFile }) => {
    const maps = [
      metadata,
      instructionFile && tryJson(Buffer.from(instructionFile.bodyBase64 ?? '', 'base64').toString('utf8')),
    ];
    return maps.flatMap((map) => [map?.['x-amz-3'], map?.['x-amz-key-v2'], map?.['x-amz-key']]);
  }),
);
const transcript = JSON.parse(readFileSync(join(from, manifest.kmsTranscript), 'utf8'));
const entries = transcript.filter(({ ciphertextBlob }) => blobs.has(ciphertextBlob));

mkdirSync(to, { recursive: true });
writeFileSync(join(to, 'cases.jsonl'), `${cases.map((entry) => JSON.stringify(entry)).join('\n')}\n`);
writeFileSync(join(to, 'kms-transcript.jsonl'), `${entries.map((entry) => JSON.stringify(entry)).join('\n')}\n`);
cpSync(join(from, 'keys'), join(to, 'keys'), { recursive: true });
console.log(`${ids.size} cases, ${entries.length} wrapped keys`);

function tryJson(text) {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
