/**
 * The targets of a Link header that stand in one relation (RFC 8288).
 *
 * @param relation such as `alternate` (RFC 8555 section 7.4.2) or `next` (section 7.1.2.1)
 * @param base what relative targets are relative to
 */
export function readLinks(header: string | undefined, relation: string, base: string): string[] {
  const links = [...(header ?? '').matchAll(/<([^>]*)>([^<]*)/g)];
  const wanted = new RegExp(`;\\s*rel="?${relation}"?`, 'i');
  return links
    .filter(([, , parameters = '']) => wanted.test(parameters))
    .flatMap(([, target = '']) => URL.parse(target, base)?.href ?? []);
}
