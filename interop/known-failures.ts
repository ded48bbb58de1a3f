/**
 * What the official clients are known to get wrong, or refuse on purpose. The matrix runs these cases too and wants them to
 * fail in just this way, so that a fixed client, or a wrong entry, shows at once. docs/interop.md tells more of each.
 */
import type { ContextName, ObjectSpec } from './objects.ts';
import type { Outcome } from './outcome.ts';
import type { OfficialPeerName, PeerName } from './peer.ts';

/** One case of the matrix. */
export interface Situation {
  readonly operation: 'write' | 'read' | 'refuse';
  /** Who does it. */
  readonly peer: PeerName;
  /** Whose object it is. */
  readonly writer: PeerName;
  readonly spec: ObjectSpec;
  /** What was changed, for `refuse`. */
  readonly change?: string | undefined;
}

export interface KnownFailure {
  /** As in docs/interop.md. */
  readonly id: string;
  /** Whose failure it is; not always the peer that meets it. */
  readonly client: OfficialPeerName;
  applies(situation: Situation): boolean;
  /** What comes of it. `done` where something should be refused and is not. */
  readonly outcome: Outcome['kind'];
  /** What the client says. */
  readonly message?: RegExp;
}

const nonAscii: readonly ContextName[] = ['latin-1', 'cyrillic', 'emoji'];
/** What the Java client's JSON writer puts into an instruction file as UTF-8; it escapes what is beyond the basic plane. */
const unescapedByJava: readonly ContextName[] = ['latin-1', 'cyrillic'];

export const knownFailures: readonly KnownFailure[] = [
  {
    id: 'python-contexts-are-ascii',
    client: 'python',
    applies: ({ peer, spec }) => peer === 'python' && nonAscii.includes(spec.context),
    outcome: 'refused',
    message: /must contain only US-ASCII/,
  },
  {
    id: 'python-upload-fileobj-of-nothing',
    client: 'python',
    applies: ({ operation, peer, spec }) =>
      operation === 'write' && peer === 'python' && spec.upload.kind === 'multipart' && spec.length === 0,
    outcome: 'refused',
    message: /final part has not been uploaded/,
  },
  {
    id: 'java-contexts-beyond-latin-1-in-headers',
    client: 'java',
    applies: ({ operation, peer, spec }) =>
      operation === 'write' && peer === 'java' && spec.storage === 'metadata' && spec.context === 'cyrillic',
    outcome: 'refused',
    message: /signature we calculated does not match/,
  },
  {
    id: 'java-latin-1-contexts-in-headers',
    client: 'java',
    applies: ({ operation, peer, writer, spec }) =>
      operation === 'read' &&
      (peer === 'java' || peer === 'go') &&
      writer === 'java' &&
      spec.storage === 'metadata' &&
      spec.context === 'latin-1',
    outcome: 'refused',
    message: /encryption context does not match/,
  },
  ...(['java', 'go'] as const).map(
    (client): KnownFailure => ({
      id: `${client}-utf-8-in-instruction-files`,
      client,
      applies: ({ operation, peer, writer, spec }) =>
        operation === 'read' &&
        peer === client &&
        writer === 'java' &&
        spec.storage === 'instruction-file' &&
        unescapedByJava.includes(spec.context),
      outcome: 'refused',
      message: /encryption context does not match/,
    }),
  ),
  {
    id: 'java-parts-of-odd-length',
    client: 'java',
    applies: ({ operation, peer, spec }) =>
      operation === 'write' && peer === 'java' && spec.upload.kind === 'parts' && spec.upload.partSizes[1] === 5,
    outcome: 'refused',
    message: /Request content was only \d+ bytes, but the specified content-length was \d+/,
  },
  {
    id: 'go-decodes-words-anywhere',
    client: 'go',
    applies: ({ operation, peer, spec }) => operation === 'read' && peer === 'go' && spec.context === 'mime-look',
    outcome: 'refused',
    message: /encryption context does not match/,
  },
  {
    id: 'go-context-check-is-optional',
    client: 'go',
    applies: ({ operation, peer, change }) => operation === 'refuse' && peer === 'go' && change === 'no-context',
    outcome: 'done',
  },
  {
    id: 'go-two-formats-in-instruction-files',
    client: 'go',
    applies: ({ operation, peer, spec, change }) =>
      operation === 'refuse' && peer === 'go' && spec.storage === 'instruction-file' && change === 'both-formats',
    outcome: 'done',
  },
];

/** What fails now and then, and works when tried again. */
export interface KnownFlake {
  readonly id: string;
  readonly client: OfficialPeerName;
  applies(situation: Situation): boolean;
  readonly message: RegExp;
}

export const knownFlakes: readonly KnownFlake[] = [
  {
    id: 'java-empty-bodies-stall',
    client: 'java',
    applies: ({ operation, peer, spec: { upload, length } }) =>
      operation === 'write' &&
      peer === 'java' &&
      (length === 0 || (upload.kind === 'parts' && upload.partSizes.includes(0))),
    message:
      /No data was written to the request body|request stream could not be reset|Re-subscription is not supported/,
  },
];

export function knownFailureOf(situation: Situation): KnownFailure | undefined {
  return knownFailures.find((entry) => entry.applies(situation));
}

export function knownFlakeOf(situation: Situation, outcome: Outcome): KnownFlake | undefined {
  if (outcome.kind !== 'refused') return undefined;
  return knownFlakes.find((entry) => entry.applies(situation) && entry.message.test(outcome.message));
}

/** Whether the outcome is the one that the entry describes. */
export function isAsKnown(entry: KnownFailure, outcome: Outcome): boolean {
  return outcome.kind === entry.outcome && (entry.message?.test(outcome.message) ?? true);
}
