"""What can be measured of how a page looks, and of how it is reached without a mouse."""

from __future__ import annotations

from typing import Any

from playwright.sync_api import Locator, Page

# Text whose colour is too near to what is behind it (WCAG's contrast), and the measured contrast.
_FAINT = """(root, least) => {
    const canvas = document.createElement("canvas").getContext("2d", {willReadFrequently: true});
    const rgba = css => {
        canvas.clearRect(0, 0, 1, 1);
        canvas.fillStyle = css;
        canvas.fillRect(0, 0, 1, 1);
        return [...canvas.getImageData(0, 0, 1, 1).data];
    };
    const over = ([r, g, b, a], under) =>
        [r, g, b].map((one, at) => (one * a + under[at] * (255 - a)) / 255);
    const behind = element => {
        if (!element) return [255, 255, 255];
        const colour = rgba(getComputedStyle(element).backgroundColor);
        return colour[3] === 255 ? colour.slice(0, 3) : over(colour, behind(element.parentElement));
    };
    const light = colour => {
        const [r, g, b] = colour.map(one => one / 255)
            .map(one => one <= 0.04045 ? one / 12.92 : ((one + 0.055) / 1.055) ** 2.4);
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const contrast = element => {
        const paper = behind(element);
        const ink = over(rgba(getComputedStyle(element).color), paper);
        const [high, low] = [light(ink), light(paper)].sort((a, b) => b - a);
        return (high + 0.05) / (low + 0.05);
    };
    const shows = element => element.checkVisibility() && !element.disabled
        && ([...element.childNodes].some(one => one.nodeType === 3 && one.data.trim())
            || ["INPUT", "TEXTAREA", "SELECT"].includes(element.tagName));
    return [...root.querySelectorAll("*")].filter(shows)
        .filter(element => !element.closest("svg, style"))
        .map(element => [contrast(element), (element.innerText || element.type).slice(0, 40)])
        .filter(([value]) => value < least);
}"""

# Elements that stick out of `root` to the right, unless something around them scrolls.
_OUTSIDE = """root => {
    const right = root.getBoundingClientRect().right + 1;
    const scrolled = element => element !== root
        && (["auto", "hidden", "scroll"].includes(getComputedStyle(element).overflowX)
            || scrolled(element.parentElement));
    return [...root.querySelectorAll("*")]
        .filter(element => element.checkVisibility()
            && element.getBoundingClientRect().right > right && !scrolled(element.parentElement))
        .map(element => `${element.className}: ${element.textContent.slice(0, 40)}`);
}"""

_FOCUSABLE = (
    "button:enabled, input:enabled, select:enabled, textarea:enabled, summary, [tabindex='0']"
)
# Remembers which of these elements get the focus, in order, and whether that can be seen.
_WALK = """(root, css) => {
    document.activeElement.blur();
    const all = [...root.querySelectorAll(css)]
        .filter(element => element.checkVisibility() && element.type !== "file");
    const label = element => element.labels?.[0]?.innerText || element.innerText || element.title;
    const name = element => `${all.indexOf(element)} ${label(element)}`;
    const plain = new Map(all.map(element => [element, look(element)]));
    function look(element) {
        const style = getComputedStyle(element);
        return [style.outlineStyle, style.outlineWidth, style.boxShadow, style.borderColor].join();
    }
    window.walk = {all: all.map(name), reached: [], unseen: []};
    root.addEventListener("focusin", ({target}) => {
        if (!all.includes(target)) return;
        window.walk.reached.push(name(target));
        if (look(target) === plain.get(target)) window.walk.unseen.push(name(target));
    });
}"""


def faint(root: Locator, least: float) -> list[list[Any]]:
    """Visible texts of less contrast, with their contrast: 1 is none at all, 21 black on white."""
    found: list[list[Any]] = root.evaluate(_FAINT, least)
    return found


def outside(root: Locator) -> list[str]:
    """What does not fit into the width."""
    found: list[str] = root.evaluate(_OUTSIDE)
    return found


def walk(root: Locator, most: int = 200) -> dict[str, list[str]]:
    """Press Tab from the first element on, until the focus leaves `root`.

    Returns: `all` that can have the focus, those `reached` in order, and those on which the focus
    cannot be seen (`unseen`).
    """
    page = root.page
    root.evaluate(_WALK, _FOCUSABLE)
    root.locator(_FOCUSABLE).locator("visible=true").first.focus()
    for _ in range(most):
        page.keyboard.press("Tab")
        if not root.evaluate("root => root.contains(document.activeElement)"):
            break
    found: dict[str, list[str]] = page.evaluate("window.walk")
    found["reached"] = list(dict.fromkeys(found["reached"]))
    return found


def nameless(page: Page, css: str) -> list[str]:
    """What can have the focus and has no name in the accessibility tree."""
    session = page.context.new_cdp_session(page)
    session.send("Accessibility.enable")
    root = session.send("DOM.getDocument")["root"]["nodeId"]
    node = session.send("DOM.querySelector", {"nodeId": root, "selector": css})["nodeId"]
    nodes = session.send("Accessibility.queryAXTree", {"nodeId": node})["nodes"]
    session.detach()
    assert len([one for one in nodes if _focusable(one)]) > 10
    return [str(one) for one in nodes if _focusable(one) and not _name(one).strip()]


def _focusable(node: dict[str, Any]) -> bool:
    return any(
        one["name"] == "focusable" and one["value"].get("value")
        for one in node.get("properties", ())
    )


def _name(node: dict[str, Any]) -> str:
    return str(node.get("name", {}).get("value", ""))
