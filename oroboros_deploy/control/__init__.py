"""One attempt on several hosts: the control node, what is meant, what is asked, what is remembered here."""
