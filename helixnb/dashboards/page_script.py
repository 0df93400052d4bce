"""What goes wrong on a page, mended there by a script.

All of it was found in the scripts of Bokeh 3.9.2 and Panel 1.9.4, and is to be looked
up again when these change.

On every page: a plot that is not displayed takes itself for one whose axes have grown,
and has the whole page laid out again, at each change of anything. With all tabs opened
once, opening one took seconds. So only plots that are displayed may ask for it.

Whatever is painted writes its place into a style sheet of its own, also if it is the
one that is there. The next that is painted asks for a colour or a size, for which the
browser then works out the styles anew: fifty times in an iteration, which was half of
the time that painting takes. So a style sheet is written only if it is another.

A legend builds itself anew, with a canvas for each entry, whenever the data of a curve
change. So it does that only if its entries are others. A button has the whole page laid
out when it is enabled or disabled, as four are in each iteration. So those of fixed
width do without.

What is shown under the pointer hangs on the page itself, where a dashboard's colours do
not reach: white on dark ones. So it takes those of the plot that it tells of.

In notebooks: Panel 1.9 listens for changes of a notebook's models and sends them to the
kernel, also those that came from there: it does not look at the mark that Bokeh 3.9
gives them. All columns of all plots then come back in every iteration, and what a user
enters waits behind them, until the next iteration puts its own value in its place. So
the listener is told to look at the mark. It also waits for 50 ms for more changes, and
so does who moves a slider: 10 are enough.

What a user does while the kernel is busy is sent in one message, and of a message the
kernel does the clicks first: a step would not see what was entered before it was
pressed. So clicks and entries go in messages of their own, which keep their order.

JupyterLab keeps Enter from fields, so that what was typed counts only once the field is
left. So Enter says that the field has changed.

With "Run All", a page opens while the cells after it are computed, and knocks at the
kernel, which answers when all of them have ended: until then the page shows an old
state, and clicks do nothing. JupyterLab and the kernel have a thread for each page (a
subshell) that answers at once, but Panel knocks before it is there. So an unanswered
page knocks again, through that thread. Where there are no such threads, or no kernel
that knows the page, it says so.
"""

PAGE = "helixnb-page"
"""Name of the model that brings the script."""

UNANSWERED = (
    "Not joined to the kernel, which is busy with a cell, or has been restarted since. "
    "What is shown may be old, and buttons wait. A cell with session.run() instead of "
    "session.step() or session.wait() leaves the kernel free."
)

SCRIPT = """
(() => {
  const plot = window.Bokeh?.Models?.get("Plot")?.prototype.default_view.prototype
  if (plot && !plot.is_mended) {
    plot.is_mended = true
    const lay_out = plot._invalidate_layout_if_needed
    plot._invalidate_layout_if_needed = function () {
      if (this.is_displayed) lay_out.call(this)
    }
  }
  const sheet = window.Bokeh?.require?.("core/dom").InlineStyleSheet.prototype
  if (sheet && !sheet.is_mended) {
    sheet.is_mended = true
    const write = sheet._update
    sheet._update = function (css) {
      if (this.css != css) write.call(this, css)
    }
  }
  const legend = window.Bokeh?.Models?.get("Legend")?.prototype.default_view.prototype
  if (legend && !legend.is_mended) {
    legend.is_mended = true
    const build = legend._render_items
    legend._render_items = function () {
      const is_shown = ({el, item}) => item.visible != el.matches(".bk-hidden")
      if (this._should_rerender_items || !this.entries.every(is_shown)) build.call(this)
    }
  }
  const button = window.Bokeh?.Models?.get("Button")?.prototype.default_view.prototype
  if (button && !button.is_mended) {
    button.is_mended = true
    const draw = button.rerender
    button.rerender = function () {
      if (this.model.width == null) return draw.call(this)
      this.render()
      this.r_after_render()
      this.update_layout()  // of itself: its margins and size
    }
  }
  const tooltip = window.Bokeh?.Models?.get("Tooltip")?.prototype.default_view.prototype
  if (tooltip && !tooltip.is_mended) {
    tooltip.is_mended = true
    const place = tooltip._reposition
    const colors = {"background-color": "panel", color: "ink", "divider-color": "line"}
    tooltip._reposition = function () {
      const theme = getComputedStyle(this.target)
      for (const [own, of] of Object.entries(colors)) {
        const color = theme.getPropertyValue(`--hx-${of}`)
        if (color) this.el.style.setProperty(`--${own}`, color)
      }
      place.call(this)
    }
  }
  const manager = window.Bokeh?.Models?.get("panel.models.comm_manager.CommManager")
  if (!manager) return
  const knock = (page, wait) => setTimeout(() => {
    if (page.is_answered) return
    if (wait > 1000) {
      page.note = document.createElement("p")
      page.note.textContent = "UNANSWERED"
      page.note.style.cssText = "border-left: 3px solid orange; padding-left: 8px"
      document.getElementById(page.plot_id)?.prepend(page.note)
      return
    }
    try { page._client_comm?.open() } catch {}  // if the kernel has closed it
    knock(page, 2 * wait)
  }, wait)
  for (const shown of window.Bokeh.documents) {
    const page = shown.roots().find(root => root instanceof manager)
    if (page && !page.has_knocked && shown.get_model_by_name("PAGE")) {
      page.has_knocked = true
      knock(page, 100)
    }
  }
  if (manager.prototype.is_mended) return
  manager.prototype.is_mended = true
  const receive = manager.prototype.msg_handler
  manager.prototype.msg_handler = function (message) {
    receive.call(this, message)
    if (this.is_answered) return
    this.is_answered = true
    this.note?.remove()
    this.on_ack({metadata: {}})  // what was sent before is lost: wait for it no longer
  }
  const listen = manager.prototype._document_changed
  manager.prototype._document_changed = function (event) {
    if (event.sync === false) return
    Object.defineProperty(this, "debounce", {value: 10, configurable: true})
    listen.call(this, event)
  }
  const send = manager.prototype.process_events
  manager.prototype.process_events = function () {
    if (this.document == null || this._client_comm == null) return
    let waiting = this._event_buffer
    while (waiting.length) {
      const other = waiting.findIndex(event => event.kind != waiting[0].kind)
      const end = other < 0 ? waiting.length : other
      this._event_buffer = waiting.slice(0, end)
      waiting = waiting.slice(end)
      send.call(this)
    }
  }
  const entered = (event) => {
    const field = event.composedPath()[0]
    const in_widget = field.getRootNode() instanceof ShadowRoot
    if (event.key == "Enter" && field instanceof HTMLInputElement && in_widget)
      field.dispatchEvent(new Event("change"))
  }
  document.addEventListener("keydown", entered, true)
})()
""".replace("PAGE", PAGE).replace("UNANSWERED", UNANSWERED)
