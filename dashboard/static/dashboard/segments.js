// Shows the hint and example of the selected operator, and hides the value if the operator takes none.

document.addEventListener("change", (event) => {
  if (!event.target.matches("select[data-operator]")) return;
  const { hint, example, valueless } = document.querySelector(`[data-operator-info="${event.target.value}"]`).dataset;
  const condition = event.target.closest(".condition");
  const value = condition.querySelector(".value input");
  value.placeholder = example;
  value.hidden = valueless !== undefined;
  condition.querySelector("[data-hint]").textContent = hint;
});
