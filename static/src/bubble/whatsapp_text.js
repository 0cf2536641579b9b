/** @odoo-module **/

/**
 * How WhatsApp shows a text: *bold*, _italic_, ~struck~, ```monospaced``` and `code`, with the values of a
 * template's parameters in their places. It gives nodes, never HTML: whoever draws them escapes them.
 */

// The same as in providers/parameters.py.
const PLACEHOLDER = /\{\{\s*([\p{L}\p{N}_]+)\s*\}\}/gu;
const LINK = /https?:\/\/[^\s\uE000-\uF8FF]*[^\s.,;:!?)\]}'"*_~`\uE000-\uF8FF]/uy;
const STYLES = [
    ["```", "mono"],
    ["`", "mono"],
    ["*", "bold"],
    ["_", "italic"],
    ["~", "strike"],
];
// A parameter stands in the text as one character of Unicode's private area, so that marks around it count.
const FIRST = 0xe000;
const PLACES = 0xf8ff - FIRST;
// Characters of a part in one style that are looked through for its end.
const LONGEST = 1000;
const WORD = /[\p{L}\p{N}\uE000-\uF8FF]/u;

/**
 * @param {string} body
 * @returns {string[]} the names of its placeholders, each once, in the order in which they appear
 */
export function namesIn(body) {
    return [...new Set([...(body || "").matchAll(PLACEHOLDER)].map((match) => match[1]))];
}

/**
 * @param {string} body
 * @returns {boolean} whether it has braces that make no placeholder
 */
export function hasBrokenPlaceholder(body) {
    const left = (body || "").replace(PLACEHOLDER, "");
    return left.includes("{{") || left.includes("}}");
}

/**
 * @param {string} body with its placeholders
 * @param {Object} samples texts by the names of parameters
 * @returns {Object[]} nodes: `{key, text}`, `{key, link}`, `{key, value, name, known}` or `{key, style, nodes}`
 */
export function parseText(body, samples = {}) {
    const names = [];
    const text = (body || "").replace(/[\uE000-\uF8FF]/g, "").replace(PLACEHOLDER, (whole, name) => {
        if (names.length >= PLACES) {
            return whole;
        }
        names.push(name);
        return String.fromCharCode(FIRST + names.length - 1);
    });
    const count = { last: 0 };
    return parse(text, { names, samples, count });
}

function parse(text, scope) {
    const nodes = [];
    let plain = "";
    let at = 0;
    const flush = () => {
        nodes.push(...leaves(plain, scope));
        plain = "";
    };
    while (at < text.length) {
        LINK.lastIndex = at;
        const link = LINK.exec(text);
        if (link) {
            flush();
            nodes.push({ key: scope.count.last++, link: link[0] });
            at += link[0].length;
            continue;
        }
        const found = styled(text, at);
        if (found) {
            flush();
            const inner = text.slice(at + found.mark.length, found.end);
            const key = scope.count.last++;
            const nested = found.style === "mono" ? leaves(inner, scope) : parse(inner, scope);
            nodes.push({ key, style: found.style, nodes: nested });
            at = found.end + found.mark.length;
            continue;
        }
        plain += text[at];
        at++;
    }
    flush();
    return nodes;
}

/** The styled part that begins at a place: its mark stands between no letters, and close to what it encloses. */
function styled(text, at) {
    for (const [mark, style] of STYLES) {
        if (!text.startsWith(mark, at) || (mark.length === 1 && at && WORD.test(text[at - 1]))) {
            continue;
        }
        const first = text[at + mark.length];
        if (first === undefined || (mark !== "```" && /\s/.test(first)) || first === mark[0]) {
            continue;
        }
        const start = at + mark.length;
        const last = Math.min(text.length, start + LONGEST);
        for (let end = start; end < last; end++) {
            if (mark !== "```" && text[end] === "\n") {
                break;
            }
            if (end > start && text.startsWith(mark, end) && closes(text, mark, end)) {
                return { mark, style, end };
            }
        }
    }
    return null;
}

function closes(text, mark, end) {
    const after = text[end + mark.length];
    return mark === "```" || (!/\s/.test(text[end - 1]) && !(after && WORD.test(after)));
}

/** Text without marks: split at the parameters. */
function leaves(text, { names, samples, count }) {
    return text
        .split(/([\uE000-\uF8FF])/)
        .filter((part) => part)
        .map((part) => {
            const name = names[part.charCodeAt(0) - FIRST];
            if (part.length > 1 || name === undefined) {
                return { key: count.last++, text: part };
            }
            const known = Boolean(samples[name]);
            return { key: count.last++, name, known, value: known ? samples[name] : `[${name}]` };
        });
}

/**
 * @param {string} json
 * @returns {Object} the object that it holds, an empty one when it is none
 */
export function readObject(json) {
    try {
        const value = JSON.parse(json || "{}");
        return value && typeof value === "object" && !Array.isArray(value) ? value : {};
    } catch {
        return {};
    }
}
