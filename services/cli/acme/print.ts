/** How an object of the CA is shown: `Order: <url>`, then the object as JSON with two spaces. */
export function toText(kind: string, { url, object }: { url: string; object: unknown }): string {
  return `${kind}: ${toAscii(url)}\n${toAscii(JSON.stringify(object, null, 2))}\n`;
}

/** What a CA says may not steer the terminal: JSON leaves DEL and the controls above it as they are. */
function toAscii(text: string): string {
  return text.replace(
    /[^\n\x20-\x7e]/g,
    character => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}
