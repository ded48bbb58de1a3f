/**
 * Text that others chose (keys, contexts, what a service said), for a terminal: control characters in it would be obeyed by the terminal,
 * and a line end would make two lines of one.
 */
export function printable(text: string): string {
  return text.replace(/\p{Cc}/gu, (character) => `\\x${character.charCodeAt(0).toString(16).padStart(2, '0')}`);
}
