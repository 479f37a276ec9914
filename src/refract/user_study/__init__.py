"""The blind pairwise user study: a page that asks raters, and what their votes say."""
