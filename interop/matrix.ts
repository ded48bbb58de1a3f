/** The matrix: every peer writes, every peer reads what the others wrote, and refuses what was changed since. */
import { type Change, changes, type ReadTwist, type StoredObject } from './changes.ts';
import type { KeyringSpecs } from './keyring-specs.ts';
import { isAsKnown, knownFailureOf, knownFlakeOf, type Situation } from './known-failures.ts';
import type { ObjectStore } from './object-store.ts';
import { contexts, type ObjectSpec, objectSpecs, spec } from './objects.ts';
import { type Outcome, outcomeOf } from './outcome.ts';
import { abilities, type Peer, type PeerName, type ReadJob } from './peer.ts';
import type { Plaintexts } from './plaintexts.ts';
import { Tally, type Verdict } from './tally.ts';

export interface MatrixOptions {
  readonly peers: readonly Peer[];
  readonly store: ObjectStore;
  readonly keyrings: KeyringSpecs;
  readonly plaintexts: Plaintexts;
  /** Told of every case, as it is decided. */
  readonly report: (line: string, verdict: Verdict) => void;
}

interface Written {
  readonly writer: PeerName;
  readonly spec: ObjectSpec;
  readonly key: string;
}

/** A changed copy in the store, and how it is to be read. */
interface ChangedCopy extends Written {
  readonly change: Change;
}

/** What a client that hangs is given; a healthy one needs milliseconds for these objects. */
const refusalTimeoutMs = 60_000;

const writeAttempts = 4;

/** The objects that changes are made to: of every writer one per format, and of raw keys and instruction files where it can. */
export const changedSpecs: readonly ObjectSpec[] = [
  spec({ format: 'v2', context: 'ascii', length: 1000 }),
  spec({ format: 'v3', context: 'ascii', length: 1000 }),
  spec({ format: 'v3', context: 'ascii', storage: 'instruction-file', length: 1000 }),
  spec({ format: 'v2', keyring: 'aes', length: 1000 }),
  spec({ format: 'v3', keyring: 'aes', described: true, length: 1000 }),
  spec({ format: 'v2', keyring: 'rsa', storage: 'instruction-file', length: 1000 }),
  spec({ format: 'v3', keyring: 'rsa', length: 1000 }),
];

export class Matrix {
  readonly writes = new Tally('writes');
  readonly reads = new Tally('wrote \\ reads');
  readonly refusals = new Tally('wrote \\ refuses');
  /** Ids of the known failures that were met. */
  readonly seen = new Set<string>();
  readonly #options: MatrixOptions;

  constructor(options: MatrixOptions) {
    this.#options = options;
  }

  async run(): Promise<void> {
    const { peers } = this.#options;
    const written = (await Promise.all(peers.map((peer) => this.#writeAll(peer)))).flat();
    await Promise.all(peers.map((peer) => this.#readAll(peer, written)));
    const changed = (await Promise.all(peers.map((peer) => this.#changeAll(peer)))).flat();
    await Promise.all(peers.map((peer) => this.#refuseAll(peer, changed)));
  }

  async #writeAll(peer: Peer): Promise<Written[]> {
    const written: Written[] = [];
    for (const object of objectSpecs(peer.name)) {
      const key = `${peer.name}/${object.name}`;
      const outcome = await this.#write(peer, object, key);
      this.#judge(this.writes, writing(peer, object), outcome, 'done');
      if (outcome.kind === 'done') written.push({ writer: peer.name, spec: object, key });
    }
    return written;
  }

  /** Writes an object; again where the client is known to fail now and then. */
  async #write(peer: Peer, object: ObjectSpec, key: string): Promise<Outcome> {
    for (let attempt = 1; ; attempt++) {
      const outcome = await this.#writeOnce(peer, object, key);
      const flake = knownFlakeOf(writing(peer, object), outcome);
      if (flake === undefined || attempt === writeAttempts) return outcome;
      this.seen.add(flake.id);
    }
  }

  #writeOnce(peer: Peer, object: ObjectSpec, key: string): Promise<Outcome> {
    const { store, keyrings, plaintexts } = this.#options;
    const { format, storage, upload } = object;
    const job = peer.write({
      bucket: store.bucket,
      key,
      file: plaintexts.of(object.length).file,
      keyring: keyrings.of(object),
      format,
      storage,
      upload,
      encryptionContext: contexts[object.context],
    });
    return outcomeOf(job.then(() => undefined));
  }

  async #readAll(peer: Peer, written: readonly Written[]): Promise<void> {
    for (const object of written) {
      if (!abilities[peer.name].keyrings.includes(object.spec.keyring)) continue;
      const outcome = await outcomeOf(
        peer.read(this.#readJob(object)),
        this.#options.plaintexts.of(object.spec.length),
      );
      const { writer, spec: written_ } = object;
      this.#judge(this.reads, { operation: 'read', peer: peer.name, writer, spec: written_ }, outcome, 'done');
    }
  }

  /** Writes the objects that are to be changed, twice each, and puts the changed copies beside them. */
  async #changeAll(peer: Peer): Promise<ChangedCopy[]> {
    const able = abilities[peer.name];
    const copies: ChangedCopy[] = [];
    for (const object of changedSpecs) {
      if (!able.keyrings.includes(object.keyring)) continue;
      if (object.storage === 'instruction-file' && !able.writesInstructionFiles) continue;
      const base = `${peer.name}/changed/${object.name}`;
      const stored = await this.#writeForChange(peer, object, `${base}/original`);
      const other = await this.#writeForChange(peer, object, `${base}/another`);
      for (const change of changes) {
        if (change.applies?.(object) === false) continue;
        const key = `${base}/${change.name}`;
        const copy = cloneOf(stored);
        change.edit?.(copy, cloneOf(other));
        await this.#options.store.put(key, copy);
        copies.push({ writer: peer.name, spec: object, key, change });
      }
    }
    return copies;
  }

  async #writeForChange(peer: Peer, object: ObjectSpec, key: string): Promise<StoredObject> {
    const outcome = await this.#write(peer, object, key);
    if (outcome.kind !== 'done') throw new Error(`${peer.name} cannot write ${key}: ${outcome.message}`);
    return this.#options.store.get(key, { withInstructions: object.storage === 'instruction-file' });
  }

  async #refuseAll(peer: Peer, copies: readonly ChangedCopy[]): Promise<void> {
    const able = abilities[peer.name];
    for (const copy of copies) {
      const { writer, spec: object, change } = copy;
      if (!able.keyrings.includes(object.keyring)) continue;
      if (change.twist?.delayedAuthentication === true && !able.delayedAuthentication) continue;
      const job = { ...this.#readJob(copy, change.twist), timeoutMs: refusalTimeoutMs };
      const outcome = await outcomeOf(peer.read(job), this.#options.plaintexts.of(object.length));
      const situation = { operation: 'refuse', peer: peer.name, writer, spec: object, change: change.name } as const;
      this.#judge(this.refusals, situation, outcome, change.harmless === true ? 'done' : 'refused');
    }
  }

  #readJob({ spec: object, key }: Written, twist: ReadTwist = {}): ReadJob {
    const { store, keyrings } = this.#options;
    return {
      bucket: store.bucket,
      key,
      keyring: keyrings.of(object, twist.key ?? 'own'),
      encryptionContext: twistedContext(contexts[object.context], twist.context),
      commitmentPolicy:
        twist.commitmentPolicy ??
        (object.format === 'v2' ? 'REQUIRE_ENCRYPT_ALLOW_DECRYPT' : 'REQUIRE_ENCRYPT_REQUIRE_DECRYPT'),
      delayedAuthentication: twist.delayedAuthentication,
    };
  }

  #judge(tally: Tally, situation: Situation, outcome: Outcome, wanted: 'done' | 'refused'): void {
    const { operation, peer, writer, spec: object, change } = situation;
    const known = knownFailureOf(situation);
    const right = known === undefined ? outcome.kind === wanted : isAsKnown(known, outcome);
    const verdict = !right ? 'failed' : known === undefined ? 'passed' : 'known';
    if (known !== undefined && right) this.seen.add(known.id);
    tally.add(writer, operation === 'write' ? 'writes' : peer, verdict);
    const verb = operation === 'refuse' && wanted === 'done' ? 'read' : operation;
    const what = operation === 'write' ? `${writer} writes` : `${peer} ${verb}s ${writer}'s`;
    const wants = known === undefined ? wanted : `known failure ${known.id}`;
    const said = outcome.message === '' ? '' : `: ${outcome.message}`;
    this.#options.report(
      `${verdict}: ${what} ${object.name}${change === undefined ? '' : ` (${change})`}, ` +
        `${right ? outcome.kind : `wanted ${wants}, came ${outcome.kind}`}${said}`,
      verdict,
    );
  }
}

function writing(peer: Peer, object: ObjectSpec): Situation {
  return { operation: 'write', peer: peer.name, writer: peer.name, spec: object };
}

function cloneOf(object: StoredObject): StoredObject {
  return structuredClone({ ...object, body: new Uint8Array(object.body) });
}

function twistedContext(
  context: Readonly<Record<string, string>> | undefined,
  twist: ReadTwist['context'],
): Readonly<Record<string, string>> | undefined {
  switch (twist) {
    case undefined:
      return context;
    case 'other':
      return { ...context, department: 'sales' };
    case 'subset':
      return Object.fromEntries(Object.entries(context ?? {}).slice(1));
    case 'absent':
      return undefined;
  }
}
