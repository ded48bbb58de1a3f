/**
 * Failures on demand. A rule says which requests it is about, which of those it strikes, and what happens to them.
 * Rules are plain data, so they also go over the control interface as JSON.
 */

/** Which requests, and which of them. All conditions given must hold. */
export interface FaultSelection {
  /** Shown in the request log. */
  readonly name?: string;
  /** `'UploadPart'`, `'KMS.Decrypt'`, `'KMS.*'`, or several. Default: every request. */
  readonly operation?: string | readonly string[];
  readonly bucket?: string;
  /** The whole key; `'prefix/*'` for all that begin so. */
  readonly key?: string;
  readonly partNumber?: number | readonly number[];
  /** The first of the matching requests to be struck, counted from 1. Default 1. */
  readonly nth?: number;
  /** How many are struck from there on. Default 1; in JSON `"always"`, in code also `Infinity`. */
  readonly times?: number | 'always';
  /**
   * What `nth` and `times` count: all matching requests together (default), those of each part (of one upload), or those of
   * each key. `{ operation: 'UploadPart', per: 'part', status: 503 }` fails every part once.
   */
  readonly per?: 'rule' | 'part' | 'key';
}

/** What happens. Several can be combined, e.g. `delay` with `status`. */
export interface FaultEffect {
  /** Milliseconds to wait before anything else. */
  readonly delay?: number;
  /** Answer with this status and the service's error body, having received the request's body, and do nothing. */
  readonly status?: number;
  /** Error code for `status` or `errorIn200`. Default: what the service uses for it, e.g. 503 `SlowDown`, KMS 400 `ThrottlingException`. */
  readonly code?: string;
  readonly message?: string;
  /** Value of a `Retry-After` header, with `status`. */
  readonly retryAfter?: number | string;
  /** With `status`: answer at once, before the request's body is received. */
  readonly early?: boolean;
  /** Reset the connection (TCP RST) after this many bytes of the request's body; 0 is before any. Nothing is done. */
  readonly resetRequestAfter?: number;
  /**
   * Stop reading the request's body after this many bytes, for `stallMs`. Without that the request is never answered, and what more
   * comes of it is dropped after a second, which is how a client that gives up is noticed.
   */
  readonly stallRequestAfter?: number;
  /** Do what was asked, then reset the connection after this many bytes of the answer's body; 0 is before its head. */
  readonly resetResponseAfter?: number;
  /** Send this many bytes of the answer's body and then nothing, for `stallMs` or until the client gives up. */
  readonly stallResponseAfter?: number;
  /** How long a stall lasts, in milliseconds. Default: for ever. */
  readonly stallMs?: number;
  /** Close the connection in an orderly way after this many bytes of the answer's body, Content-Length left as it was. */
  readonly truncateAfter?: number;
  /** Send the answer's body at this many bytes a second. */
  readonly dripBytesPerSecond?: number;
  /** Do what was asked, but answer with this ETag. */
  readonly etag?: string;
  /** Flip bits of the byte at this offset of the answer's body. */
  readonly flipByteAt?: number;
  /** Which bits. Default 1, the lowest. */
  readonly flipMask?: number;
  /** Do what was asked, but cut the connection in place of an answer. */
  readonly loseAnswer?: boolean;
  /** Answer 200 with an error (default InternalError) in the body, as CopyObject and CompleteMultipartUpload may; nothing is done. */
  readonly errorIn200?: boolean;
}

export type FaultRule = FaultSelection & FaultEffect;

/** A rule in force. */
export interface InstalledFault {
  readonly rule: FaultRule;
  /** How many requests it has struck. */
  readonly hits: number;
  remove(): void;
}

/** The rules of one endpoint, tried in the order they were added; the first that strikes is applied. */
export interface Faults {
  /** @throws TypeError for an unknown property, an effect that is missing, or a value out of place */
  add(rule: FaultRule): InstalledFault;
  /** Replaces all rules. @throws TypeError as {@link add}; the rules are then as before */
  set(rules: readonly FaultRule[]): InstalledFault[];
  clear(): void;
  readonly installed: readonly InstalledFault[];
}

/** What a rule can select by. */
export interface FaultSubject {
  readonly operation: string;
  readonly bucket?: string | undefined;
  readonly key?: string | undefined;
  readonly uploadId?: string | undefined;
  readonly partNumber?: number | undefined;
}

const kinds: Readonly<
  Record<keyof FaultRule, 'string' | 'strings' | 'count' | 'numbers' | 'times' | 'flag' | 'per' | 'text'>
> = {
  name: 'string',
  operation: 'strings',
  bucket: 'string',
  key: 'string',
  partNumber: 'numbers',
  nth: 'count',
  times: 'times',
  per: 'per',
  delay: 'count',
  status: 'count',
  code: 'string',
  message: 'string',
  retryAfter: 'text',
  early: 'flag',
  resetRequestAfter: 'count',
  stallRequestAfter: 'count',
  resetResponseAfter: 'count',
  stallResponseAfter: 'count',
  stallMs: 'count',
  truncateAfter: 'count',
  dripBytesPerSecond: 'count',
  etag: 'string',
  flipByteAt: 'count',
  flipMask: 'count',
  loseAnswer: 'flag',
  errorIn200: 'flag',
};

const selections: ReadonlySet<string> = new Set([
  'name',
  'operation',
  'bucket',
  'key',
  'partNumber',
  'nth',
  'times',
  'per',
]);
// These only shape an effect and are none by themselves.
const modifiers: ReadonlySet<string> = new Set(['code', 'message', 'retryAfter', 'early', 'stallMs', 'flipMask']);

function isOfKind(value: unknown, kind: (typeof kinds)[keyof FaultRule]): boolean {
  const isCount = (number: unknown): boolean => Number.isSafeInteger(number) && (number as number) >= 0;
  switch (kind) {
    case 'string':
      return typeof value === 'string';
    case 'strings':
      return typeof value === 'string' || (Array.isArray(value) && value.every((entry) => typeof entry === 'string'));
    case 'count':
      return isCount(value);
    case 'numbers':
      return isCount(value) || (Array.isArray(value) && value.every(isCount));
    case 'times':
      return value === 'always' || value === Number.POSITIVE_INFINITY || isCount(value);
    case 'flag':
      return typeof value === 'boolean';
    case 'per':
      return value === 'rule' || value === 'part' || value === 'key';
    case 'text':
      return typeof value === 'string' || isCount(value);
  }
}

/** Checks a rule that may come from anywhere. @throws TypeError that names what is wrong with it */
function checkFaultRule(value: unknown): FaultRule {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new TypeError(`a fault rule must be an object, got ${JSON.stringify(value)}`);
  }
  for (const [name, given] of Object.entries(value)) {
    if (given === undefined) continue;
    if (!Object.hasOwn(kinds, name)) throw new TypeError(`a fault rule has no property ${JSON.stringify(name)}`);
    if (!isOfKind(given, kinds[name as keyof FaultRule])) {
      throw new TypeError(`${name} of a fault rule cannot be ${JSON.stringify(given)}`);
    }
  }
  const rule = value as FaultRule;
  if (!Object.keys(rule).some((name) => !selections.has(name) && !modifiers.has(name))) {
    throw new TypeError('a fault rule must have an effect, e.g. status: 503');
  }
  if (rule.nth === 0) throw new TypeError('nth of a fault rule counts from 1');
  if (rule.dripBytesPerSecond === 0)
    throw new TypeError('dripBytesPerSecond must be above 0; stallResponseAfter: 0 sends nothing');
  if (rule.status !== undefined && (rule.status < 300 || rule.status > 599)) {
    throw new TypeError(`status of a fault rule must be an error's, 300 to 599, got ${rule.status}`);
  }
  return rule;
}

function includes(allowed: number | string | readonly (number | string)[], value: number | string): boolean {
  const list = Array.isArray(allowed) ? (allowed as readonly (number | string)[]) : [allowed as number | string];
  return list.some((entry) =>
    typeof entry === 'string' && typeof value === 'string' && entry.endsWith('*')
      ? value.startsWith(entry.slice(0, -1))
      : entry === value,
  );
}

function selects(rule: FaultRule, subject: FaultSubject): boolean {
  if (rule.operation !== undefined && !includes(rule.operation, subject.operation)) return false;
  if (rule.bucket !== undefined && rule.bucket !== subject.bucket) return false;
  if (rule.key !== undefined && (subject.key === undefined || !includes(rule.key, subject.key))) return false;
  if (rule.partNumber === undefined) return true;
  return subject.partNumber !== undefined && includes(rule.partNumber, subject.partNumber);
}

class Installed implements InstalledFault {
  readonly rule: FaultRule;
  readonly label: string;
  readonly #remove: (fault: Installed) => void;
  readonly #seen = new Map<string, number>();
  #hits = 0;

  constructor(rule: FaultRule, label: string, remove: (fault: Installed) => void) {
    this.rule = rule;
    this.label = label;
    this.#remove = remove;
  }

  get hits(): number {
    return this.#hits;
  }

  remove(): void {
    this.#remove(this);
  }

  /** Counts a request, and says whether it is struck. */
  strikes(subject: FaultSubject): boolean {
    if (!selects(this.rule, subject)) return false;
    const { per = 'rule', nth = 1, times = 1 } = this.rule;
    const counter =
      per === 'rule'
        ? ''
        : JSON.stringify([
            subject.bucket,
            subject.key,
            ...(per === 'part' ? [subject.uploadId, subject.partNumber] : []),
          ]);
    const count = (this.#seen.get(counter) ?? 0) + 1;
    this.#seen.set(counter, count);
    const struck = count >= nth && (times === 'always' || count < nth + times);
    if (struck) this.#hits++;
    return struck;
  }
}

/** A rule that has struck a request. */
export interface AppliedFault {
  readonly rule: FaultRule;
  readonly label: string;
}

export class FaultRules implements Faults {
  #rules: Installed[] = [];
  #added = 0;

  get installed(): readonly InstalledFault[] {
    return [...this.#rules];
  }

  add(rule: FaultRule): InstalledFault {
    const checked = checkFaultRule(rule);
    const installed = this.#install(checked);
    this.#rules.push(installed);
    return installed;
  }

  set(rules: readonly FaultRule[]): InstalledFault[] {
    const checked = rules.map(checkFaultRule);
    this.#rules = checked.map((rule) => this.#install(rule));
    return [...this.#rules];
  }

  clear(): void {
    this.#rules = [];
  }

  /** The rule that strikes this request, if one does. Counts it for every rule before that one, too. */
  strike(subject: FaultSubject): AppliedFault | undefined {
    return this.#rules.find((rule) => rule.strikes(subject));
  }

  #install(rule: FaultRule): Installed {
    return new Installed(rule, rule.name ?? `rule ${++this.#added}`, (fault) => {
      this.#rules = this.#rules.filter((other) => other !== fault);
    });
  }
}
