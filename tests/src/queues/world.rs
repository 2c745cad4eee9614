//! The queues, the plain lists beside them, and what the bytes say.
#![allow(unsafe_code, reason = "takes nodes out by their addresses")]
//! # Safety
//! The plain lists say where each node is; an address is claimed or removed only from there.

use super::Log;
use super::nodes::{Operations, claim, remove};
use core::cell::{Cell, RefCell};
use io_core::queue::{Fifo, Transfer};
use io_core::{Node, NodePtr};
use std::collections::VecDeque;
use std::rc::Rc;

/// How many nodes there are.
const NODES: usize = 6;

/// A list and what it must be.
#[derive(Default)]
struct List {
    real: Fifo,
    plain: VecDeque<usize>,
}

pub(super) struct World {
    log: Option<Log>,
    bytes: RefCell<std::vec::IntoIter<u8>>,
    operations: RefCell<Option<Operations>>,
    addresses: Vec<NodePtr>,
    free: RefCell<Vec<Option<Node>>>,
    lists: [RefCell<List>; 2],
    queue: Transfer,
    pushed: RefCell<VecDeque<usize>>,
    /// What a take that is under way must bring, once it has exchanged.
    taking: RefCell<Option<VecDeque<usize>>>,
    takes: Cell<bool>,
    depth: Cell<u32>,
    /// Whether the next accesses are those of a transfer's call.
    windows: Cell<bool>,
    calls: Cell<usize>,
    mismatch: RefCell<Option<String>>,
}

impl World {
    pub(super) fn new(data: &[u8], log: Option<Log>) -> Rc<World> {
        let (operations, nodes) = Operations::submitted(NODES);
        Rc::new(World {
            log,
            bytes: RefCell::new(Vec::from(data).into_iter()),
            operations: RefCell::new(Some(operations)),
            addresses: nodes.iter().map(Node::ptr).collect(),
            free: RefCell::new(nodes.into_iter().map(Some).collect()),
            lists: Default::default(),
            queue: Transfer::new(),
            pushed: RefCell::default(),
            taking: RefCell::default(),
            takes: Cell::new(false),
            depth: Cell::new(0),
            windows: Cell::new(false),
            calls: Cell::new(0),
            mismatch: RefCell::default(),
        })
    }

    fn say(&self, text: impl FnOnce() -> String) {
        self.calls.set(self.calls.get() + 1);
        if let Some(log) = &self.log {
            let indent = 2 * self.depth.get() as usize;
            log.borrow_mut().push(format!("{:indent$}{}", "", text()));
        }
    }

    fn failed(&self) -> bool {
        self.mismatch.borrow().is_some()
    }

    fn check<T: PartialEq + core::fmt::Debug>(&self, what: &str, real: &T, wanted: &T) {
        if real != wanted && !self.failed() {
            let text = format!("{what}: {real:?}, not {wanted:?}");
            self.say(|| format!("MISMATCH: {text}"));
            *self.mismatch.borrow_mut() = Some(text);
        }
    }

    fn byte(&self) -> Option<usize> {
        self.bytes.borrow_mut().next().map(usize::from)
    }

    fn number(&self, address: NodePtr) -> usize {
        self.addresses.iter().position(|known| *known == address).unwrap_or(NODES)
    }

    #[cfg(feature = "steps")]
    pub(super) fn run(self: &Rc<Self>) {
        use io_core::sync::steps::{Access, set_hook};
        let hooked = Rc::clone(self);
        let before = set_hook(Some(Rc::new(move |site| {
            hooked.window(site.access == Access::Exchange);
        })));
        self.lives();
        set_hook(before);
    }

    #[cfg(not(feature = "steps"))]
    pub(super) fn run(self: &Rc<Self>) {
        self.lives();
    }

    fn lives(&self) {
        while !self.failed()
            && let Some(choice) = self.byte()
        {
            match choice % 3 {
                0 => self.transfer(choice / 3),
                _ => self.list_call(choice / 3),
            }
            self.compare();
        }
    }

    /// Between two accesses of a push or a take.
    #[cfg(feature = "steps")]
    fn window(&self, exchanges: bool) {
        // How deep calls come between calls.
        const DEPTH: u32 = 3;
        if !self.windows.get() || self.failed() {
            return;
        }
        if self.depth.get() < DEPTH
            && let Some(choice) = self.byte()
            && choice % 4 != 0
        {
            self.transfer(choice / 4);
        }
        // The exchange of the take, and not of a push that came between: those are over.
        if exchanges && self.takes.get() {
            self.takes.set(false);
            *self.taking.borrow_mut() = Some(self.pushed.take());
        }
    }

    /// A call of the transfer queue, with windows.
    fn transfer(&self, choice: usize) {
        let (depth, takes) = (self.depth.get(), self.takes.replace(false));
        self.depth.set(depth + 1);
        match choice % 4 {
            0 | 1 => self.push(choice / 4),
            2 => self.take_all(choice / 4),
            _ => {
                let real = self.windowed(|| self.queue.is_empty());
                let wanted = self.pushed.borrow().is_empty();
                self.say(|| format!("transfer: is_empty {real}"));
                self.check("transfer is_empty", &real, &wanted);
            }
        }
        self.depth.set(depth);
        self.takes.set(takes);
    }

    fn windowed<R>(&self, call: impl FnOnce() -> R) -> R {
        let before = self.windows.replace(true);
        let result = call();
        self.windows.set(before);
        result
    }

    fn push(&self, choice: usize) {
        let Some((number, node)) = self.any_free(choice) else { return };
        self.say(|| format!("transfer: push {number} begins"));
        let first = self.windowed(|| self.queue.push(node));
        // It took effect with its last access.
        let wanted = self.pushed.borrow().is_empty();
        self.pushed.borrow_mut().push_back(number);
        self.say(|| format!("transfer: push {number}, first: {first}"));
        self.check("push is the first", &first, &wanted);
    }

    fn take_all(&self, choice: usize) {
        // One taker, and the list it takes into is its own.
        if self.taking.borrow().is_some() {
            return;
        }
        let Ok(mut list) = self.lists[choice % 2].try_borrow_mut() else { return };
        *self.taking.borrow_mut() = Some(VecDeque::new());
        self.say(|| "transfer: take_all begins".to_owned());
        self.takes.set(true);
        let count = self.windowed(|| self.queue.take_all(&mut list.real));
        if self.takes.replace(false) {
            // No windows in this build.
            *self.taking.borrow_mut() = Some(self.pushed.take());
        }
        let wanted = self.taking.take().unwrap_or_default();
        self.say(|| format!("transfer: take_all brings {wanted:?}"));
        self.check("take_all", &count, &wanted.len());
        list.plain.extend(wanted);
    }

    fn any_free(&self, choice: usize) -> Option<(usize, Node)> {
        let mut free = self.free.borrow_mut();
        let number = (0..NODES).map(|at| (at + choice) % NODES).find(|at| free[*at].is_some())?;
        Some((number, free[number].take()?))
    }

    /// A node came out of a list: it must be this one.
    fn out(&self, what: &str, node: Option<Node>, wanted: Option<usize>) {
        let number = node.as_ref().map(|node| self.number(node.ptr()));
        self.say(|| format!("{what}: {number:?}"));
        self.check(what, &number, &wanted);
        if let (Some(node), Some(number)) = (node, number)
            && let Some(place) = self.free.borrow_mut().get_mut(number)
        {
            *place = Some(node);
        }
    }

    /// A call of one of the lists, which has no windows.
    fn list_call(&self, choice: usize) {
        let which = choice % 2;
        let arg = self.byte().unwrap_or(0);
        let mut list = self.lists[which].borrow_mut();
        let List { real, plain } = &mut *list;
        let wants = |number: usize| arg >> (number % 8) & 1 == 1;
        match choice / 2 % 8 {
            0 | 1 => {
                if let Some((number, node)) = self.any_free(arg) {
                    self.say(|| format!("list {which}: push {number}"));
                    real.push(node);
                    plain.push_back(number);
                }
            }
            2 => {
                if let Some((number, node)) = self.any_free(arg) {
                    self.say(|| format!("list {which}: push_front {number}"));
                    real.push_front(node);
                    plain.push_front(number);
                }
            }
            3 => self.out("pop", real.pop(), plain.pop_front()),
            4 if !plain.is_empty() => {
                let number = plain.remove(arg % plain.len()).unwrap_or(0);
                // SAFETY: the plain list says that it is in there.
                let node = unsafe { remove(real, self.addresses[number]) };
                self.out("remove", Some(node), Some(number));
            }
            4 | 5 => {
                let number = arg % NODES;
                let wanted = plain.iter().position(|is| *is == number);
                let wanted = wanted.and_then(|at| plain.remove(at));
                self.out("find_remove", real.find_remove(self.addresses[number]), wanted);
            }
            6 => {
                let wanted = plain.iter().position(|is| wants(*is));
                let wanted = wanted.and_then(|at| plain.remove(at));
                let node = real.take_first(|node| wants(self.number(node.ptr())));
                self.out("take_first", node, wanted);
            }
            _ => {
                let taken = real.take_all(|node| wants(self.number(node.ptr())));
                let (wanted, stay) = plain.iter().copied().partition(|is| wants(*is));
                *plain = stay;
                self.say(|| format!("list {which}: take_all {wanted:?} into the other"));
                drop(list);
                self.append(1 - which, taken, wanted);
            }
        }
    }

    fn append(&self, which: usize, taken: Fifo, wanted: VecDeque<usize>) {
        let numbers: VecDeque<usize> = taken.iter().map(|node| self.number(node.ptr())).collect();
        self.check("take_all of a list", &numbers, &wanted);
        let mut list = self.lists[which].borrow_mut();
        list.real.append(taken);
        list.plain.extend(wanted);
    }

    /// Both lists are what they must be, from both ends as far as it can be seen.
    fn compare(&self) {
        for list in &self.lists {
            let list = list.borrow();
            let numbers: VecDeque<usize> =
                list.real.iter().map(|node| self.number(node.ptr())).collect();
            self.check("list", &numbers, &list.plain);
            self.check("len", &list.real.len(), &list.plain.len());
            self.check("is_empty", &list.real.is_empty(), &list.plain.is_empty());
        }
    }

    /// Everything comes out, each node once, and what a forked child forgets is not there any more.
    pub(super) fn end(&self) -> Result<usize, String> {
        let mut nodes: Vec<Node> = Vec::new();
        if !self.failed() {
            self.queue.forget();
            self.check("is_empty after forget", &self.queue.is_empty(), &true);
            let printed = format!("{:?}", self.queue).contains("empty: true");
            self.check("an empty queue says so", &printed, &true);
            self.check("what forget leaves", &self.queue.take_all(&mut Fifo::new()), &0);
        }
        if !self.failed() {
            for number in self.pushed.take() {
                // SAFETY: the queue has forgotten it, so nobody has the right to it.
                nodes.push(unsafe { claim(self.addresses[number]) });
            }
            for list in &self.lists {
                let mut list = list.borrow_mut();
                let printed = format!("{:?}", list.real).matches("Node(").count();
                self.check("nodes that a list prints", &printed, &list.plain.len());
                nodes.extend(core::iter::from_fn(|| list.real.pop()));
            }
            nodes.extend(self.free.take().into_iter().flatten());
            self.check("nodes at the end", &nodes.len(), &NODES);
        }
        let operations = self.operations.take();
        if let Some(mismatch) = self.mismatch.take() {
            if let Some(operations) = operations {
                operations.forget();
            }
            return Err(mismatch);
        }
        for node in nodes {
            node.complete(0).run();
        }
        let done = operations.is_some_and(|operations| operations.are_done());
        if done { Ok(self.calls.get()) } else { Err("an operation is not done".to_owned()) }
    }
}
