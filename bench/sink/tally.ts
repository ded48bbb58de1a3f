/** What a sink counts. The names are those of its control interface, `GET /_stats`. */
export interface SinkStats {
  /** Of S3 and KMS together. */
  readonly requests: number;
  readonly kmsGenerate: number;
  readonly kmsDecrypt: number;
  /** Connections that carried at least one of the requests. */
  readonly connections: number;
  /** The most requests in progress at a time. */
  readonly maxInFlight: number;
  /** Body bytes, transfer framing left out. */
  readonly bytesIn: number;
  readonly bytesOut: number;
  readonly serverCpuSeconds: number;
  /** How the bodies of PutObject and UploadPart were signed, by `x-amz-content-sha256`: a hash, UNSIGNED-PAYLOAD, a trailer. */
  readonly payloads?: { readonly hashed: number; readonly unsigned: number; readonly trailer: number };
}

export type PayloadKind = keyof NonNullable<SinkStats['payloads']>;

/** Counters since the last reset. */
export class Tally {
  #counts = emptyCounts();
  #cpu = process.cpuUsage();
  #inFlight = 0;
  /** Grows with each reset: tells connections that were counted from those that were not. */
  epoch = 0;

  reset(): void {
    this.#counts = emptyCounts();
    this.#counts.maxInFlight = this.#inFlight;
    this.#cpu = process.cpuUsage();
    this.epoch += 1;
  }

  connectionUsed(): void {
    this.#counts.connections += 1;
  }

  requestBegan(): void {
    this.#counts.requests += 1;
    this.#inFlight += 1;
    this.#counts.maxInFlight = Math.max(this.#counts.maxInFlight, this.#inFlight);
  }

  requestEnded(): void {
    this.#inFlight -= 1;
  }

  kms(operation: 'Generate' | 'Decrypt'): void {
    this.#counts[`kms${operation}`] += 1;
  }

  payload(kind: PayloadKind): void {
    this.#counts.payloads[kind] += 1;
  }

  received(bytes: number): void {
    this.#counts.bytesIn += bytes;
  }

  sent(bytes: number): void {
    this.#counts.bytesOut += bytes;
  }

  stats(): SinkStats {
    const { user, system } = process.cpuUsage(this.#cpu);
    return { ...this.#counts, serverCpuSeconds: (user + system) / 1e6 };
  }
}

function emptyCounts() {
  return {
    requests: 0,
    kmsGenerate: 0,
    kmsDecrypt: 0,
    connections: 0,
    maxInFlight: 0,
    bytesIn: 0,
    bytesOut: 0,
    payloads: { hashed: 0, unsigned: 0, trailer: 0 },
  };
}
