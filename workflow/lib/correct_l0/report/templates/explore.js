// The interactive picture: its library is unpacked when it comes into view.
const place = document.querySelector("#explore-plot");
if (place && "DecompressionStream" in window) {
  place.parentElement.hidden = false;
  const picture = JSON.parse(document.querySelector("#explore-picture").textContent);
  place.style.minHeight = `${picture.layout.height}px`;
  const draw = async () => {
    const packed = document.querySelector("#explore-library").textContent;
    const bytes = Uint8Array.from(atob(packed), (letter) => letter.charCodeAt(0));
    const unpacked = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
    const script = document.createElement("script");
    script.textContent = await new Response(unpacked).text();
    document.head.append(script);
    const style = getComputedStyle(document.body);
    const grid = style.getPropertyValue("--line");
    for (const [name, axis] of Object.entries(picture.layout)) {
      if (/^[xy]axis/.test(name)) Object.assign(axis, { gridcolor: grid, zeroline: false });
    }
    Object.assign(picture.layout, {
      paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
      modebar: { bgcolor: "rgba(0,0,0,0)" },
      font: { color: style.color, family: style.fontFamily, size: 13 },
    });
    const buttons = ["toImage", "zoom2d", "pan2d", "zoomIn2d", "zoomOut2d", "resetScale2d"];
    Plotly.newPlot(place, picture.data, picture.layout, {
      responsive: true, displaylogo: false, modeBarButtons: [buttons],
    });
  };
  new IntersectionObserver(([seen], observer) => {
    if (!seen.isIntersecting) return;
    observer.disconnect();
    draw();
  }, { rootMargin: "300px" }).observe(place);
}
