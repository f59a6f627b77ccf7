# SPDX-License-Identifier: Apache-2.0
#
# scdoc ends each block with .P, also where no paragraph follows, which mandoc's lint does not like: a
# .P is kept back until there is text, and passes the end of an indented block.  Headings bring their own.
/^\.P$/ { is_due = !is_fresh; next }
/^\.(SH|SS|TH) / { is_due = 0; is_fresh = 1; print; next }
/^\.RE$/ { print; next }
{
	if (is_due)
		print ".P"
	is_due = is_fresh = 0
	print
}
