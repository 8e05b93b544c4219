// A condition's operator says what its value looks like, and whether it has one.

document.addEventListener("change", (event) => {
  if (!event.target.matches("select[data-operator]")) return;
  const { hint, example, valueless } = document.querySelector(`[data-of="${event.target.value}"]`).dataset;
  const condition = event.target.closest(".condition");
  const value = condition.querySelector(".value input");
  value.placeholder = example;
  value.hidden = valueless !== undefined;
  condition.querySelector("[data-hint]").textContent = hint;
});
