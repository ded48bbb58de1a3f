/** XML as S3 speaks it: a writer for answers and a strict reader for the few request documents. */
import { XMLParser, XMLValidator } from 'fast-xml-parser';

/** An element: name, then text or children. `undefined` content leaves the element out. */
export type XmlNode = readonly [name: string, content: XmlContent];
export type XmlContent = string | number | boolean | undefined | readonly (XmlNode | undefined)[];

const escapes: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
};

// Keys may hold control characters that XML 1.0 forbids even as references. S3 sends references all the same (its
// documentation tells clients to ask for encoding-type=url), and readers that are strict fail as they do with S3.
function escapeText(text: string): string {
  return text.replace(
    // biome-ignore lint/suspicious/noControlCharactersInRegex: these are the characters in question
    /[&<>"'\u0000-\u001f\u007f]/g,
    (character) => escapes[character] ?? `&#x${character.charCodeAt(0).toString(16)};`,
  );
}

function renderNode([name, content]: XmlNode, out: string[], namespace?: string): void {
  if (content === undefined) return;
  const open = namespace === undefined ? name : `${name} xmlns="${namespace}"`;
  if (typeof content !== 'object') {
    out.push(`<${open}>`, escapeText(String(content)), `</${name}>`);
    return;
  }
  if (content.length === 0) {
    out.push(`<${open}/>`);
    return;
  }
  out.push(`<${open}>`);
  for (const child of content) if (child !== undefined) renderNode(child, out);
  out.push(`</${name}>`);
}

const s3Namespace = 'http://s3.amazonaws.com/doc/2006-03-01/';

/** A whole document. Errors have no namespace, everything else has S3's. */
export function renderXml(root: XmlNode, options: { readonly namespace?: boolean } = {}): string {
  const out: string[] = ['<?xml version="1.0" encoding="UTF-8"?>\n'];
  renderNode(root, out, options.namespace === false ? undefined : s3Namespace);
  return out.join('');
}

/** A document could not be read: answered as MalformedXML. */
export class XmlProblem extends Error {}

type Parsed = string | { readonly [name: string]: readonly Parsed[] | string };

const parser = new XMLParser({
  ignoreAttributes: true,
  parseTagValue: false,
  trimValues: false, // a key may begin or end with blanks
  htmlEntities: true, // for numeric references, which keys need
  isArray: () => true,
});

/** An element of a request document. Reading marks what was read, so that {@link finish} can name what was not. */
export class XmlElement {
  readonly name: string;
  readonly #children: ReadonlyMap<string, readonly XmlElement[]>;
  readonly #text: string;
  readonly #read = new Set<string>();

  constructor(name: string, parsed: Parsed) {
    this.name = name;
    const children = new Map<string, readonly XmlElement[]>();
    let text = '';
    if (typeof parsed === 'string') text = parsed;
    else {
      for (const [childName, values] of Object.entries(parsed)) {
        // Text between child elements is indentation.
        if (typeof values === 'string' || childName === '#text') continue;
        const local = childName.slice(childName.indexOf(':') + 1);
        children.set(
          local,
          values.map((value) => new XmlElement(local, value)),
        );
      }
    }
    this.#children = children;
    this.#text = text;
  }

  /** All children of a name. */
  all(name: string): readonly XmlElement[] {
    this.#read.add(name);
    return this.#children.get(name) ?? [];
  }

  child(name: string): XmlElement | undefined {
    const found = this.all(name);
    if (found.length > 1) throw new XmlProblem(`${this.name} holds ${found.length} ${name}, expected one`);
    return found[0];
  }

  /** Text of a child, or undefined where there is no such child. */
  optional(name: string): string | undefined {
    return this.child(name)?.text;
  }

  /** Text of a child that must be there. */
  required(name: string): string {
    const text = this.optional(name);
    if (text === undefined) throw new XmlProblem(`${this.name} holds no ${name}`);
    return text;
  }

  get text(): string {
    return this.#text;
  }

  /** Names of children that nothing has read: what a handler would otherwise pass over in silence. */
  unread(): string[] {
    return [...this.#children.keys()].filter((name) => !this.#read.has(name));
  }
}

/**
 * Reads a document whose root is `root`.
 *
 * @throws XmlProblem for anything that is not well-formed or has another root
 */
export function parseXml(text: string, root: string): XmlElement {
  // No document of S3's needs a DTD, and entity expansion is how a small one becomes a large one.
  if (text.includes('<!')) throw new XmlProblem('a document type or comment is not accepted');
  const valid = XMLValidator.validate(text);
  if (valid !== true) throw new XmlProblem(valid.err.msg);
  const parsed = parser.parse(text) as Record<string, readonly Parsed[]>;
  const names = Object.keys(parsed).filter((name) => !name.startsWith('?') && name !== '#text');
  const name = names[0];
  const values = name === undefined ? undefined : parsed[name];
  if (name === undefined || names.length !== 1 || values?.length !== 1 || name.slice(name.indexOf(':') + 1) !== root) {
    throw new XmlProblem(`the root is ${names.join(', ') || 'missing'}, expected ${root}`);
  }
  return new XmlElement(root, values[0]!);
}
