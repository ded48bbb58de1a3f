/** What the demonstration says, step by step, and what it found. */
import { relative } from 'node:path';
import type { ListEntry } from '../../index.ts';
import { counted, formatByteSize, formatRate } from '../byte-size.ts';
import type { DemoDocument } from '../schemas.ts';
import type { DownloadStep, StoredStep, TamperStep, UploadStep } from './demo-run.ts';
import type { DemoSource } from './demo-source.ts';

export interface DemoReport {
  begin(): string[];
  uploaded(step: UploadStep): string[];
  stored(step: StoredStep): string[];
  listed(entries: readonly ListEntry[]): string[];
  downloaded(step: DownloadStep): string[];
  tampered(step: TamperStep): string[];
  end(): string[];
  document(): DemoDocument;
}

export function demoReport(setting: { source: DemoSource; endpoint: string }): DemoReport {
  return new Report(setting);
}

class Report implements DemoReport {
  readonly #source: DemoSource;
  readonly #endpoint: string;
  readonly #checks: { check: string; ok: boolean }[] = [];
  #upload: UploadStep | undefined;
  #stored: StoredStep | undefined;
  #download: DownloadStep | undefined;

  constructor({ source, endpoint }: { source: DemoSource; endpoint: string }) {
    this.#source = source;
    this.#endpoint = endpoint;
  }

  begin(): string[] {
    const { packedSize, packed } = this.#source;
    const path = relative(process.cwd(), this.#source.path);
    return [
      `sealpipe demo: ${path} (${formatByteSize(packedSize)}${packed ? ' packed' : ''})`,
      `on an S3 and KMS inside this process, ${this.#endpoint}, real HTTP; nothing of it stays.`,
      '',
    ];
  }

  uploaded(step: UploadStep): string[] {
    this.#upload = step;
    const { result, rows, sends, seconds } = step;
    const [first] = sends;
    const same =
      sends.length > 1 && sends.every(({ bodySha256 }) => bodySha256 !== undefined && bodySha256 === first?.bodySha256);
    this.#check('the request that failed was sent again, with the same bytes', same && result.retries > 0);
    this.#check('one data key was made', step.requests['KMS.GenerateDataKey'] === 1 && result.restarts === 0);
    const request = first?.partNumber === undefined ? 'the PUT' : `part ${first.partNumber}`;
    const through = rows === undefined ? 'the file' : `${grouped(rows)} rows through stream-json`;
    const cut =
      result.parts > 1
        ? `${counted(result.parts, 'part')} of 5 MiB, the least that S3 takes`
        : 'one PUT, as it is no larger than a part of 5 MiB';
    return [
      `up      ${through}, encrypted on the way: ${cut}`,
      `        ${request} was answered ${first?.status ?? '?'} and sent again: ${sends.length} sends, ${same ? 'the same' : 'DIFFERENT'} bytes (SHA-256 ${first?.bodySha256?.slice(0, 12) ?? '?'}…)`,
      `        ${grouped(result.plaintextSize)} bytes in ${seconds.toFixed(2)} s (${formatRate(result.plaintextSize, seconds)}); ${listed(step.requests)}`,
    ];
  }

  stored(step: StoredStep): string[] {
    this.#stored = step;
    const { size, head, metadata } = step;
    const plain = this.#upload?.head ?? Buffer.alloc(0);
    this.#check(
      'what is stored has 16 bytes more than the file: the tag',
      size === (this.#upload?.result.plaintextSize ?? -1) + 16,
    );
    this.#check(
      'what is stored does not begin as the file does',
      // A few bytes may be the same by chance, and none always are.
      plain.length < 8 || !head.subarray(0, plain.length).equals(plain),
    );
    const { 'x-amz-3': wrappedKey = '', 'x-amz-t': context = '' } = metadata;
    this.#check('the envelope holds the wrapped data key', wrappedKey !== '');
    return [
      `stored  ${grouped(size)} bytes: ciphertext and a tag of 16`,
      `        the file  ${hex(plain)}  ${text(plain)}`,
      `        S3 has    ${hex(head)}  ${text(head)}`,
      `        beside it, for any S3 Encryption Client: the data key, wrapped by KMS  x-amz-3: ${wrappedKey.slice(0, 24)}…`,
      `                                                 the encryption context        x-amz-t: ${context}`,
    ];
  }

  listed(entries: readonly ListEntry[]): string[] {
    const [entry] = entries;
    const right = entries.length === 1 && entry?.plaintextSize === this.#upload?.result.plaintextSize;
    this.#check('the listing has the size of the plaintext', right);
    return entries.map(
      ({ key, plaintextSize }) =>
        `list    ${grouped(plaintextSize)} bytes  ${key}   (the plaintext's size, from one LIST)`,
    );
  }

  downloaded(step: DownloadStep): string[] {
    this.#download = step;
    const { sha256, rows, seconds, requests } = step;
    const same = sha256 === this.#upload?.sha256;
    this.#check('what came back is what went in', same && rows === this.#upload?.rows);
    this.#check('one GET and one call to KMS, no HEAD', isOnly(requests, { GetObject: 1, 'KMS.Decrypt': 1 }));
    const bytes = this.#upload?.result.plaintextSize ?? 0;
    const again = rows === undefined ? '' : `${grouped(rows)} rows through stream-json, `;
    return [
      `down    ${listed(requests)}, and the tag is right: ${again}SHA-256 ${same ? 'equal' : 'DIFFERENT'} (${sha256.slice(0, 12)}…)`,
      `        ${seconds.toFixed(2)} s (${formatRate(bytes, seconds)})`,
    ];
  }

  tampered({ offset, code, fileLeft }: TamperStep): string[] {
    this.#check('the tampered copy was refused', code === 'ERR_SEALPIPE_AUTHENTICATION_FAILED');
    this.#check('no file was left of it', !fileLeft);
    return [
      `tamper  a copy with one bit changed (byte ${grouped(offset)}): ${code === undefined ? 'NOT REFUSED' : `refused, ${code}`}; ${fileLeft ? 'A FILE WAS LEFT' : 'no file was left'}`,
      '',
    ];
  }

  end(): string[] {
    const failed = this.#checks.filter(({ ok }) => !ok);
    if (failed.length === 0)
      return [
        `All ${this.#checks.length} checks held. The same with your files, no account needed:`,
        '  sealpipe put FILE s3://bucket/key --local ./try --kms-key-id alias/sealpipe',
      ];
    return ['NOT as it should be:', ...failed.map(({ check }) => `  ${check}`)];
  }

  document(): DemoDocument {
    const { result, rows, sha256 = '', seconds = 0 } = this.#upload ?? {};
    return {
      file: this.#source.path,
      rows: rows ?? null,
      bytes: result?.plaintextSize ?? 0,
      storedSize: this.#stored?.size ?? 0,
      sha256,
      parts: result?.parts ?? 0,
      retries: result?.retries ?? 0,
      uploadSeconds: seconds,
      downloadSeconds: this.#download?.seconds ?? 0,
      requests: { ...this.#upload?.requests, ...this.#download?.requests },
      kmsCalls: (this.#upload?.requests['KMS.GenerateDataKey'] ?? 0) + (this.#download?.requests['KMS.Decrypt'] ?? 0),
      checks: this.#checks,
      ok: this.#checks.every(({ ok }) => ok),
    };
  }

  #check(check: string, ok: boolean): void {
    this.#checks.push({ check, ok });
  }
}

/** Requests by operation, for people. */
function listed(requests: Record<string, number>): string {
  return Object.entries(requests)
    .map(([operation, count]) => `${count} ${operation}`)
    .join(', ');
}

/** Digits in groups of three. */
function grouped(value: number): string {
  return String(value).replace(/\B(?=(\d{3})+$)/g, ' ');
}

function hex(bytes: Buffer): string {
  return (bytes.toString('hex').match(/../g) ?? []).join(' ').padEnd(47);
}

function text(bytes: Buffer): string {
  return bytes.toString('latin1').replace(/[^\x20-\x7e]/g, '·');
}

function isOnly(found: Record<string, number>, expected: Record<string, number>): boolean {
  const names = Object.keys(expected);
  return names.length === Object.keys(found).length && names.every((name) => found[name] === expected[name]);
}
