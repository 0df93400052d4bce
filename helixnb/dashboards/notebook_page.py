"""What goes wrong on the page of a notebook, mended there by a script.

Panel 1.9 listens for changes of a notebook's models and sends them to the kernel, also
those that came from there: it does not look at the mark that Bokeh 3.9 gives them. All
columns of all plots then come back in every iteration, and what a user enters waits
behind them, until the next iteration puts its own value in its place. So the listener
is told to look at the mark.

JupyterLab keeps Enter from fields, so that what was typed counts only once the field is
left. So Enter says that the field has changed.
"""

from __future__ import annotations

import panel as pn

_SCRIPT = """
(() => {
  const manager = window.Bokeh?.Models?.get("panel.models.comm_manager.CommManager")
  if (!manager || manager.prototype.sends_back_nothing) return
  manager.prototype.sends_back_nothing = true
  const send = manager.prototype._document_changed
  manager.prototype._document_changed = function (event) {
    if (event.sync !== false) send.call(this, event)
  }
  const entered = (event) => {
    const field = event.composedPath()[0]
    const in_widget = field.getRootNode() instanceof ShadowRoot
    if (event.key == "Enter" && field instanceof HTMLInputElement && in_widget)
      field.dispatchEvent(new Event("change"))
  }
  document.addEventListener("keydown", entered, true)
})()
"""


def mend_page() -> pn.pane.HTML:
    """Make the script, to be put anywhere on the page.

    Returns
    -------
    panel.pane.HTML
        Takes no place. Runs when it is shown, once a page; nothing depends on it.
    """
    return pn.pane.HTML(f"<script>{_SCRIPT}</script>", width=0, height=0, margin=0)
