/** All cases, by group. */
import type { CaseSpec, CaseWork, DownloadWork, GroupName, UploadWork } from './case-spec.ts';
import type { SinkPace } from './sink/sink-control.ts';

const MiB = 1024 * 1024;

export interface CatalogueSizes {
  /** Bytes of most uploads and downloads; ciphers and streams take twice as much. */
  readonly size: number;
  /** Bytes of the larger upload of the memory group; the smaller one has a sixteenth. */
  readonly largeSize: number;
  /** Small objects; a quarter as many ranges. */
  readonly operations: number;
}

/**
 * Bytes of a warm-up, and of what is verified: enough for the parallel engine, and an end that is neither a whole part nor a
 * whole block.
 */
const warmUpLength = 96 * MiB + 5;
/** Operations of a warm-up; verified ones are fewer. */
const warmUpOperations = 400;

/** A case without what its place in the catalogue says. */
type Entry = CaseWork & { readonly id: string; readonly title: string } & Partial<
    Pick<CaseSpec, 'size' | 'maxRounds' | 'ideal'>
  >;

interface GroupPlan {
  readonly group: GroupName;
  readonly size: number;
  readonly warmUp?: number;
  /** Id of the case that the others are compared with. */
  readonly baseline?: string;
  readonly tls?: true;
  readonly pace?: SinkPace;
  readonly maxRounds?: number;
  readonly entries: readonly Entry[];
}

export function catalogue({ size, largeSize, operations }: CatalogueSizes): CaseSpec[] {
  const plans: GroupPlan[] = [
    { group: 'cipher', size: 2 * size, baseline: 'gcm', entries: cipherEntries },
    { group: 'encrypt-stream', size: 2 * size, baseline: 'bare-loop', entries: encryptStreamEntries },
    { group: 'decrypt-stream', size: 2 * size, baseline: 'bare-loop', entries: decryptStreamEntries },
    { group: 'upload-file', size, baseline: 'lib-storage', entries: uploadEntries('file') },
    { group: 'upload-stream', size, baseline: 'lib-storage', entries: uploadEntries('stream') },
    { group: 'upload-tls', size, baseline: 'lib-storage', tls: true, entries: tlsUploadEntries },
    { group: 'download-drop', size, baseline: 'sdk', entries: downloadEntries('drop') },
    { group: 'download-file', size, baseline: 'sdk', entries: downloadEntries('file') },
    { group: 'download-tls', size, baseline: 'sdk', tls: true, entries: tlsDownloadEntries },
    ...[4, 8].flatMap((connections) => cappedPlans(size, connections)),
    ...(['put', 'get'] as const).map(
      (direction): GroupPlan => ({
        group: `small-${direction}`,
        size: operations,
        warmUp: warmUpOperations,
        baseline: 'sdk',
        entries: smallEntries(direction),
      }),
    ),
    {
      group: 'ranges',
      size: Math.ceil(operations / 4),
      warmUp: warmUpOperations / 4,
      baseline: 'sdk',
      entries: rangesEntries,
    },
    { group: 'memory', size: largeSize, maxRounds: 3, entries: memoryEntries(largeSize) },
  ];
  return plans.flatMap(specsOf);
}

function specsOf({ entries, warmUp = warmUpLength, baseline, ...plan }: GroupPlan): CaseSpec[] {
  return entries.map(({ id, ...entry }) => {
    const size = entry.size ?? plan.size;
    return {
      ...plan,
      ...entry,
      size,
      warmUp: Math.min(size, warmUp),
      name: `${plan.group}/${id}`,
      ...(baseline !== undefined && baseline !== id && { baseline: `${plan.group}/${baseline}` }),
    };
  });
}

const cipherEntries: readonly Entry[] = [
  { id: 'gcm', title: 'AES-256-GCM', kind: 'cipher', loop: 'gcm' },
  { id: 'gcm-crc', title: 'AES-256-GCM, CRC-32', kind: 'cipher', loop: 'gcm-crc' },
  { id: 'segment', title: 'a segment: CTR, GHASH, CRC-32', kind: 'cipher', loop: 'segment' },
  { id: 'gcm-decrypt', title: 'AES-256-GCM, decrypting', kind: 'cipher', loop: 'gcm-decrypt' },
];

const encryptStreamEntries: readonly Entry[] = [
  { id: 'bare-loop', title: 'bare createCipheriv loop', kind: 'cipher', loop: 'gcm' },
  { id: 'node-cipher', title: 'createCipheriv as a Transform', kind: 'stream', transform: 'node-cipher' },
  { id: 'sealpipe', title: 'sealpipe createEncryptStream', kind: 'stream', transform: 'sealpipe-encrypt' },
];

const decryptStreamEntries: readonly Entry[] = [
  { id: 'bare-loop', title: 'bare createDecipheriv loop', kind: 'cipher', loop: 'gcm-decrypt' },
  { id: 'sealpipe', title: 'sealpipe createDecryptStream, delayed', kind: 'stream', transform: 'sealpipe-decrypt' },
];

const tunedParts = { partSize: 8, queueSize: 4, tuned: true } as const;

function uploadEntries(source: UploadWork['source']): Entry[] {
  const upload = { kind: 'upload', source } as const;
  const ours = { ...upload, client: 'sealpipe', tuned: false } as const;
  return [
    { ...upload, id: 'lib-storage', title: 'lib-storage, not encrypted', client: 'lib-storage', tuned: false },
    {
      ...upload,
      id: 'lib-storage-tuned',
      title: 'lib-storage, not encrypted, tuned, 8 MiB × 4',
      client: 'lib-storage',
      ...tunedParts,
    },
    {
      ...upload,
      id: 'naive-gcm',
      title: 'lib-storage behind a GCM Transform',
      client: 'lib-storage-gcm',
      tuned: false,
    },
    { ...upload, id: 'naive-gcm-tuned', title: 'the same, tuned, 8 MiB × 4', client: 'lib-storage-gcm', ...tunedParts },
    { ...ours, id: 'sealpipe', title: 'sealpipe (16 MiB × 4)' },
    { ...ours, id: 'sealpipe-8x4', title: 'sealpipe, 8 MiB × 4', partSize: 8, queueSize: 4 },
    { ...ours, id: 'sealpipe-index', title: 'sealpipe, with a segment index', segmentIndex: true },
    { ...ours, id: 'sealpipe-client', title: 'sealpipe, parts sent by the client', transport: 'client' },
    { ...ours, id: 'sealpipe-serial', title: 'sealpipe, no workers', workers: 0 },
    {
      ...upload,
      id: 'with-encryption',
      title: 'lib-storage over withEncryption',
      client: 'with-encryption',
      tuned: false,
    },
  ];
}

const tlsUploadEntries: readonly Entry[] = [
  {
    id: 'lib-storage',
    title: 'lib-storage, not encrypted',
    kind: 'upload',
    source: 'file',
    client: 'lib-storage',
    tuned: false,
  },
  { id: 'sealpipe', title: 'sealpipe (16 MiB × 4)', kind: 'upload', source: 'file', client: 'sealpipe', tuned: false },
];

function downloadEntries(target: DownloadWork['target']): Entry[] {
  const download = { kind: 'download', target } as const;
  return [
    { ...download, id: 'sdk', title: 'GetObject, not encrypted', client: 'sdk', tuned: false },
    { ...download, id: 'sdk-tuned', title: 'GetObject, not encrypted, tuned', client: 'sdk', tuned: true },
    { ...download, id: 'naive-gcm', title: 'GetObject before a GCM Transform', client: 'sdk-gcm', tuned: false },
    {
      ...download,
      id: 'sealpipe',
      title: `sealpipe ${target === 'file' ? 'download' : 'get, delayed'}`,
      client: 'sealpipe',
      tuned: false,
    },
  ];
}

const tlsDownloadEntries: readonly Entry[] = [
  { id: 'sdk', title: 'GetObject, not encrypted', kind: 'download', target: 'drop', client: 'sdk', tuned: false },
  {
    id: 'sealpipe',
    title: 'sealpipe get, delayed',
    kind: 'download',
    target: 'drop',
    client: 'sealpipe',
    tuned: false,
  },
];

const pace: SinkPace = { latency: 20, megabytesPerSecond: 40 };

function cappedPlans(size: number, connections: number): GroupPlan[] {
  const ideal = connections * pace.megabytesPerSecond;
  const shared = { size, pace, maxRounds: 3 } as const;
  const parts = { partSize: 8, queueSize: connections } as const;
  const upload = { kind: 'upload', source: 'file', tuned: false, ideal } as const;
  const ours = { ...upload, client: 'sealpipe' } as const;
  const download = { kind: 'download', target: 'file', tuned: false } as const;
  return [
    {
      ...shared,
      group: connections === 4 ? 'capped-up-4' : 'capped-up-8',
      baseline: 'lib-storage',
      entries: [
        { ...upload, ...parts, id: 'lib-storage', title: 'lib-storage, not encrypted', client: 'lib-storage' },
        {
          ...upload,
          ...parts,
          id: 'lib-storage-tuned',
          title: 'lib-storage, not encrypted, tuned',
          client: 'lib-storage',
          tuned: true,
        },
        { ...ours, id: 'sealpipe', title: 'sealpipe (16 MiB parts)', queueSize: connections },
        { ...ours, ...parts, id: 'sealpipe-8', title: 'sealpipe, 8 MiB parts' },
      ],
    },
    {
      ...shared,
      group: connections === 4 ? 'capped-down-4' : 'capped-down-8',
      baseline: 'sdk',
      entries: [
        // One connection, whatever is allowed: a quarter of the bytes says as much.
        { ...download, id: 'sdk', title: 'GetObject, not encrypted', client: 'sdk', ideal, size: Math.ceil(size / 4) },
        {
          ...download,
          id: 'sealpipe',
          title: 'sealpipe download',
          client: 'sealpipe',
          ideal,
          concurrency: connections,
        },
      ],
    },
  ];
}

function smallEntries(direction: 'put' | 'get'): Entry[] {
  const small = { kind: 'small-objects', direction } as const;
  return [
    { ...small, id: 'sdk', title: 'SDK, not encrypted', client: 'sdk', tuned: false },
    { ...small, id: 'sdk-tuned', title: 'SDK, not encrypted, tuned', client: 'sdk', tuned: true },
    { ...small, id: 'sealpipe', title: 'sealpipe, a KMS call each', client: 'sealpipe', tuned: false },
  ];
}

const rangesEntries: readonly Entry[] = [
  { id: 'sdk', title: 'ranged GetObject, not encrypted', kind: 'ranges', client: 'sdk', tuned: false },
  { id: 'sealpipe', title: 'sealpipe open, read', kind: 'ranges', client: 'sealpipe', tuned: false },
];

function memoryEntries(largeSize: number): Entry[] {
  const smallSize = Math.ceil(largeSize / 16);
  const stream = { kind: 'upload', source: 'stream', tuned: false } as const;
  return [
    {
      ...stream,
      id: 'lib-storage-small',
      title: 'lib-storage, not encrypted, small',
      client: 'lib-storage',
      size: smallSize,
    },
    { ...stream, id: 'lib-storage-large', title: 'lib-storage, not encrypted, large', client: 'lib-storage' },
    { ...stream, id: 'sealpipe-small', title: 'sealpipe, small', client: 'sealpipe', size: smallSize },
    { ...stream, id: 'sealpipe-large', title: 'sealpipe, large', client: 'sealpipe' },
  ];
}
